{{/* Combinations that cannot work are refused here, with what to do; single values by the schema. */}}

{{- define "headwater.validate" -}}
{{- if not (or .Values.origin.enabled .Values.edge.enabled) }}
{{- fail "origin.enabled and edge.enabled are both false: there is nothing to run" }}
{{- end }}
{{- include "headwater.validateRedis" . }}
{{- range $component := list "origin" "edge" }}
{{- $role := index $.Values $component }}
{{- if $role.enabled }}
{{- include "headwater.validateRole" (dict "root" $ "component" $component "role" $role) }}
{{- end }}
{{- end }}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor and metrics.serviceMonitor are both enabled: every sample would be there twice. Keep one." }}
{{- end }}
{{- include "headwater.validateHttp" . }}
{{- range $component := list "origin" "edge" }}
{{- if and (index $.Values.gateway $component).enabled (not (index $.Values $component).enabled) }}
{{- fail (printf "gateway.%s routes to pods that this release does not run: enable %s" $component $component) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "headwater.validateRedis" -}}
{{- $redis := .Values.redis }}
{{- $given := list }}
{{- if .Values.valkey.enabled }}{{ $given = append $given "valkey.enabled" }}{{ end }}
{{- if $redis.url }}{{ $given = append $given "redis.url" }}{{ end }}
{{- if $redis.urlSecret.name }}{{ $given = append $given "redis.urlSecret" }}{{ end }}
{{- if and (eq (len $given) 0) (ne $redis.mode "sentinel") }}
{{- fail "Headwater needs a Redis: set redis.url (or redis.urlSecret.name), or valkey.enabled=true for a trial" }}
{{- end }}
{{- if gt (len $given) 1 }}
{{- fail (printf "%s are all given: keep one Redis" (join " and " $given)) }}
{{- end }}
{{- if .Values.valkey.enabled }}
{{- if or (ne $redis.mode "single") $redis.passwordSecret.name $redis.tls.secretName $redis.username }}
{{- fail "valkey.enabled is a single Valkey without password or TLS: leave redis.mode, redis.username, redis.passwordSecret and redis.tls alone, or use a Redis of your own" }}
{{- end }}
{{- end }}
{{- if and $redis.urlSecret.name $redis.passwordSecret.name }}
{{- fail "redis.urlSecret holds the password already: leave redis.passwordSecret.name empty, or use redis.url" }}
{{- end }}
{{- if and $redis.tls.secretName (eq $redis.mode "sentinel") (not $redis.url) (not $redis.urlSecret.name) }}
{{- fail "redis.tls is set, but nothing says that master and sentinels speak TLS: set redis.url to rediss://redis/0 (with sentinels its scheme and database count, not its host)" }}
{{- end }}
{{- if and $redis.tls.secretName $redis.url (not (hasPrefix "rediss://" $redis.url)) }}
{{- fail "redis.tls is set: redis.url must begin with rediss://" }}
{{- end }}
{{- end }}

{{- define "headwater.validateRole" -}}
{{- $role := .role }}
{{- $needed := include "headwater.neededGrace" $role | int }}
{{- with $role.terminationGracePeriodSeconds }}
{{- if lt (int .) $needed }}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d, but preStopSeconds + seconds + marginSeconds of %s.drain are %d: clients would be cut off in the middle of the drain" $.component (int .) $.component $needed) }}
{{- end }}
{{- end }}
{{- if $role.autoscaling.enabled }}
{{- include "headwater.validateScaling" . }}
{{- end }}
{{- if and (include "headwater.servesRelays" .) (gt (int (include "headwater.lastRelayPort" $role)) 65535) }}
{{- fail (printf "%s.ports.relay is too high for %d workers: relays need 4 ports for each" .component (int $role.workers)) }}
{{- end }}
{{- if and $role.proxyProtocol.enabled (not $role.proxyProtocol.trustedCidrs) }}
{{- fail (printf "%s.proxyProtocol.trustedCidrs is empty: whose PROXY protocol headers shall be believed?" .component) }}
{{- end }}
{{- include "headwater.validatePorts" . }}
{{- include "headwater.validateOwned" . }}
{{- end }}

{{- define "headwater.validateScaling" -}}
{{- $scaling := .role.autoscaling }}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) }}
{{- fail (printf "%s.autoscaling.maxReplicas is below minReplicas" .component) }}
{{- end }}
{{- if not (or $scaling.clientsPerPod $scaling.egressMbitPerPod $scaling.cpuUtilization $scaling.extra) }}
{{- fail (printf "%s.autoscaling has nothing to scale by: set clientsPerPod, egressMbitPerPod, cpuUtilization or extra" .component) }}
{{- end }}
{{- if and (eq $scaling.engine "keda") (not $scaling.keda.serverAddress) (or $scaling.clientsPerPod $scaling.egressMbitPerPod) }}
{{- fail (printf "%s.autoscaling.keda.serverAddress is needed: KEDA asks Prometheus for clientsPerPod and egressMbitPerPod" .component) }}
{{- end }}
{{- end }}

{{- define "headwater.validateHttp" -}}
{{- range $component := list "origin" "edge" }}
{{- $role := index $.Values $component }}
{{- range $block := list "ingress" "httpRoute" }}
{{- if (index $role $block).enabled }}
{{- include "headwater.validateReadiness" (dict "root" $ "component" $component "role" $role "name" (printf "%s.%s" $component $block)) }}
{{- end }}
{{- end }}
{{- if and $role.ingress.enabled (not $role.ingress.hosts) }}
{{- fail (printf "%s.ingress.hosts is empty: name a host, or /readyz would be taken on those of everybody" $component) }}
{{- end }}
{{- if and $role.httpRoute.enabled (not $role.httpRoute.parentRefs) }}
{{- fail (printf "%s.httpRoute.parentRefs is empty: name the Gateway whose listener it belongs to" $component) }}
{{- end }}
{{- if and $role.httpRoute.enabled (not $role.httpRoute.hostnames) }}
{{- fail (printf "%s.httpRoute.hostnames is empty: name a host, or /readyz would be taken on all of the listener's" $component) }}
{{- end }}
{{- end }}
{{- include "headwater.validateHosts" . }}
{{- end }}

{{- define "headwater.validateReadiness" -}}
{{- $np := .root.Values.networkPolicy }}
{{- if not .role.enabled }}
{{- fail (printf "%s tells of pods that this release does not run: enable %s" .name .component) }}
{{- end }}
{{- if not .role.readinessProbe.enabled }}
{{- fail (printf "%s asks ready pods, and without %s.readinessProbe all pods count as ready: enable it" .name .component) }}
{{- end }}
{{- if and $np.enabled $np.adminFrom (not $np.httpFrom) }}
{{- fail (printf "%s is enabled and networkPolicy.adminFrom keeps others away from the admin port: set networkPolicy.httpFrom to the pods or addresses of the ingress controller or gateway" .name) }}
{{- end }}
{{- end }}

{{/* Both roles answer /readyz: on one host, the answer of one would pass for that of the other. */}}
{{- define "headwater.validateHosts" -}}
{{- $hosts := dict }}
{{- range $component := list "origin" "edge" }}
{{- $role := index $.Values $component }}
{{- $own := list }}
{{- if $role.ingress.enabled }}{{ $own = concat $own $role.ingress.hosts }}{{ end }}
{{- if $role.httpRoute.enabled }}{{ $own = concat $own $role.httpRoute.hostnames }}{{ end }}
{{- $hosts = set $hosts $component $own }}
{{- end }}
{{- range $hosts.origin }}
{{- if has . $hosts.edge }}
{{- fail (printf "origins and edges both answer /readyz of %s: give edges a host of their own" .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "headwater.validatePorts" -}}
{{- $ports := .role.ports }}
{{- if eq (int $ports.rtmp) (int $ports.admin) }}
{{- fail (printf "%s.ports.rtmp and %s.ports.admin must differ" .component .component) }}
{{- end }}
{{- if include "headwater.servesRelays" . }}
{{- $component := .component }}
{{- $last := include "headwater.lastRelayPort" .role | int }}
{{- range $name := list "rtmp" "admin" }}
{{- $port := int (index $ports $name) }}
{{- if and (ge $port (int $ports.relay)) (le $port $last) }}
{{- fail (printf "%s.ports.%s is one of the relay ports, %d to %d" $component $name (int $ports.relay) $last) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings that follow from other values: set there, they also change Services, probes and the grace. */}}
{{- define "headwater.validateOwned" -}}
{{- $owned := dict
  "node.workers" (printf "%s.workers" .component)
  "node.runtime_dir" "an emptyDir at /run/headwater"
  "node.advertise_host" "the address of the pod"
  "node.id" "the name of the pod and a random part"
  "node.zone" "zone"
  "rtmp.listen" (printf "listenHost and %s.ports.rtmp" .component)
  "rtmp.proxy_trusted" (printf "%s.proxyProtocol.trustedCidrs" .component)
  "rtmp.proxy_required" (printf "%s.proxyProtocol.required" .component)
  "admin.listen" (printf "listenHost and %s.ports.admin" .component)
  "relay.listen_host" "listenHost"
  "relay.port_base" (printf "%s.ports.relay" .component)
  "edge.zone_relay" "edge.zoneRelay"
  "supervisor.drain_s" (printf "%s.drain.seconds" .component)
  "drain.reconnect_url" (printf "%s.drain.reconnectUrl" .component)
  "log.level" "log.level"
  "log.format" "log.format"
  "redis.url" "redis.url"
  "redis.mode" "redis.mode"
  "redis.username" "redis.username"
  "redis.password" "redis.passwordSecret"
  "redis.password_file" "redis.passwordSecret"
  "redis.sentinels" "redis.sentinel.addresses"
  "redis.sentinel_master" "redis.sentinel.master"
  "redis.sentinel_password" "redis.sentinel.passwordSecret"
  "redis.tls_ca_file" "redis.tls"
  "redis.tls_cert_file" "redis.tls"
  "redis.tls_key_file" "redis.tls"
  "redis.key_prefix" "redis.keyPrefix"
}}
{{- range $place, $config := dict "config" .root.Values.config (printf "%s.config" .component) .role.config }}
{{- range $section, $settings := $config }}
{{- if kindIs "map" $settings }}
{{- range $name, $_ := $settings }}
{{- with index $owned (printf "%s.%s" $section $name) }}
{{- fail (printf "%s.%s.%s: this chart takes it from %s" $place $section $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range .role.extraEnv }}
{{- $path := trimPrefix "HEADWATER_" .name | lower | replace "__" "." }}
{{- with and (hasPrefix "HEADWATER_" .name) (index $owned $path) }}
{{- fail (printf "%s.extraEnv sets %s: this chart takes it from %s" $.component $path .) }}
{{- end }}
{{- end }}
{{- end }}
