{{/*
The settings file of a role, in order of who wins: what the chart derives, then the role's `config`,
then `config`. Nobody may set what the chart derives: see "headwater.validate".
*/}}
{{- define "headwater.config" -}}
{{- $role := index .root.Values .component }}
{{- $config := include "headwater.derivedConfig" . | fromYaml }}
{{- $config = merge $config (deepCopy $role.config) (deepCopy .root.Values.config) }}
{{- toYaml $config }}
{{- end }}

{{- define "headwater.derivedConfig" -}}
{{- $values := .root.Values }}
{{- $role := index $values .component }}
node:
  workers: {{ $role.workers }}
  runtime_dir: /run/headwater
{{- with $values.zone }}
  zone: {{ . | quote }}
{{- end }}
rtmp:
  listen: {{ include "headwater.listen" (dict "host" $values.listenHost "port" $role.ports.rtmp) | quote }}
{{- if $role.proxyProtocol.enabled }}
  proxy_trusted:
    {{- toYaml $role.proxyProtocol.trustedCidrs | nindent 4 }}
  proxy_required: {{ $role.proxyProtocol.required }}
{{- end }}
admin:
  listen: {{ include "headwater.listen" (dict "host" $values.listenHost "port" $role.ports.admin) | quote }}
{{- if include "headwater.servesRelays" (dict "component" .component "role" $role) }}
relay:
  listen_host: {{ $values.listenHost | quote }}
  port_base: {{ $role.ports.relay }}
{{- end }}
{{- if $role.zoneRelay }}
edge:
  zone_relay: true
{{- end }}
supervisor:
  drain_s: {{ $role.drain.seconds }}
{{- with $role.drain.reconnectUrl }}
drain:
  reconnect_url: {{ . | quote }}
{{- end }}
log:
  level: {{ $values.log.level }}
  format: {{ $values.log.format }}
redis:
{{- include "headwater.redisConfig" .root | nindent 2 }}
{{- end }}

{{- define "headwater.redisConfig" -}}
{{- $redis := .Values.redis -}}
mode: {{ $redis.mode }}
key_prefix: {{ $redis.keyPrefix | quote }}
{{- if .Values.valkey.enabled }}
url: redis://{{ include "headwater.fullname" . }}-valkey:6379/0
{{- else if $redis.url }}
url: {{ $redis.url | quote }}
{{- end }}
{{- with $redis.username }}
username: {{ . | quote }}
{{- end }}
{{- if $redis.passwordSecret.name }}
password_file: /etc/headwater/redis/password
{{- end }}
{{- if eq $redis.mode "sentinel" }}
sentinels:
{{- toYaml $redis.sentinel.addresses | nindent 2 }}
sentinel_master: {{ $redis.sentinel.master | quote }}
{{- end }}
{{- with $redis.tls }}
{{- if .secretName }}
{{- with .caKey }}
tls_ca_file: /etc/headwater/redis-tls/{{ . }}
{{- end }}
{{- with .certKey }}
tls_cert_file: /etc/headwater/redis-tls/{{ . }}
{{- end }}
{{- with .keyKey }}
tls_key_file: /etc/headwater/redis-tls/{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
