/*
 * Application of a rig's board: the services are libraries, this adds the MQTT traffic that the
 * suites look at. Nothing here touches the element.
 */

#include <stdio.h>

#include "mgos.h"
#include "mgos_mqtt.h"

static char s_up[80], s_down[80];

static void on_message(struct mg_connection *nc, const char *topic, int topic_len, const char *msg,
                       int msg_len, void *arg) {
  LOG(LL_INFO, ("received %d bytes on %.*s", msg_len, topic_len, topic));
  (void) nc;
  (void) msg;
  (void) arg;
}

static void on_connection(struct mg_connection *nc, int ev, void *ev_data, void *arg) {
  if (ev == MG_EV_MQTT_CONNACK) {
    static const char first[] = "{\"hello\":0}", second[] = "{\"hello\":1}";
    mgos_mqtt_pub(s_up, first, sizeof(first) - 1, 0 /* QoS */, false /* retain */);
    mgos_mqtt_pub(s_up, second, sizeof(second) - 1, 1 /* QoS */, false /* retain */);
  }
  (void) nc;
  (void) ev_data;
  (void) arg;
}

enum mgos_app_init_result mgos_app_init(void) {
  const char *id = mgos_sys_config_get_device_id();
  snprintf(s_up, sizeof(s_up), "%s/up", id);
  snprintf(s_down, sizeof(s_down), "%s/down", id);
  mgos_mqtt_sub(s_down, on_message, NULL);
  mgos_mqtt_add_global_handler(on_connection, NULL);
  return MGOS_APP_INIT_SUCCESS;
}
