{{/* Names. */}}

{{- define "headwater.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 45: with "-origin" a StatefulSet's name has 52, which leaves room for a hash in a label's 63. */}}
{{- define "headwater.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- else if contains (include "headwater.name" .) .Release.Name }}
{{- .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "headwater.name" .) | trunc 45 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "headwater.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "headwater.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "headwater.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels. What selects pods never changes: a StatefulSet's selector cannot. */}}

{{- define "headwater.selectorLabels" -}}
app.kubernetes.io/name: {{ include "headwater.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "headwater.labels" -}}
{{ include "headwater.selectorLabels" . }}
app.kubernetes.io/part-of: headwater
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: root, component, name; labels and annotations where it has its own. */}}
{{- define "headwater.metadata" -}}
name: {{ .name }}
namespace: {{ include "headwater.namespace" .root }}
labels:
{{- /* Its own labels win; a key must not be there twice. */}}
{{- $labels := include "headwater.labels" . | fromYaml }}
{{- toYaml (mergeOverwrite $labels (default dict .labels)) | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
{{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- end }}

{{/* The image of root.Values.image or another: root, image, tag where it has none. */}}
{{- define "headwater.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry }}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") }}
{{- if .image.digest }}
{{- printf "%s@%s" $name .image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .tag .image.tag) }}
{{- end }}
{{- end }}

{{- define "headwater.pullSecrets" -}}
{{- with concat .root.Values.global.imagePullSecrets .image.pullSecrets | uniq }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Shutdown: what the parts take together. */}}
{{- define "headwater.neededGrace" -}}
{{- add .drain.preStopSeconds .drain.seconds .drain.marginSeconds }}
{{- end }}

{{- define "headwater.grace" -}}
{{- .terminationGracePeriodSeconds | default (include "headwater.neededGrace" .) }}
{{- end }}

{{/* Fewest pods that there will be. */}}
{{- define "headwater.leastReplicas" -}}
{{- ternary .autoscaling.minReplicas .replicas .autoscaling.enabled }}
{{- end }}

{{/* Whether pods of a role serve relays: component, role; "" when they do not. */}}
{{- define "headwater.servesRelays" -}}
{{- if or (eq .component "origin") .role.zoneRelay }}true{{ end }}
{{- end }}

{{/* The highest port that relays may be served on: see origin.ports.relay. */}}
{{- define "headwater.lastRelayPort" -}}
{{- sub (add .ports.relay (mul 4 .workers)) 1 }}
{{- end }}

{{- define "headwater.listen" -}}
{{- if contains ":" .host }}[{{ .host }}]:{{ .port }}{{ else }}{{ .host }}:{{ .port }}{{ end }}
{{- end }}

{{/* Where nodes connect to for Redis, as a list: redis.url and the sentinels say it, or else a value. */}}
{{- define "headwater.redisPorts" -}}
{{- $redis := .Values.redis }}
{{- $ports := list }}
{{- range $redis.sentinel.addresses }}{{ $ports = append $ports (splitList ":" . | last | int) }}{{ end }}
{{- range .Values.networkPolicy.redis.ports }}{{ $ports = append $ports (int .) }}{{ end }}
{{- if or .Values.valkey.enabled $redis.url (not .Values.networkPolicy.redis.ports) }}
{{- $port := regexFind ":[0-9]+$" (urlParse $redis.url).host | trimPrefix ":" }}
{{- $ports = prepend $ports (default 6379 $port | int) }}
{{- end }}
{{- $ports | uniq | toYaml }}
{{- end }}

{{/* A network: an address alone is one of its own. */}}
{{- define "headwater.cidr" -}}
{{- if contains "/" . }}{{ . }}{{ else }}{{ printf "%s/%s" . (ternary "128" "32" (contains ":" .)) }}{{ end }}
{{- end }}

{{/* URL of a role's Service inside the cluster. */}}
{{- define "headwater.inside" -}}
{{- printf "rtmp://%s-%s.%s.svc:%d" (include "headwater.fullname" .root) .component (include "headwater.namespace" .root) (int (index .root.Values .component).service.port) }}
{{- end }}

{{/* Kubernetes 1.31 knows PreferClose, 1.34 renamed it and added PreferSameNode. */}}
{{- define "headwater.trafficDistribution" -}}
{{- $version := .root.Capabilities.KubeVersion.Version }}
{{- if .wanted }}
{{- if semverCompare ">=1.34.0-0" $version }}
trafficDistribution: {{ .wanted }}
{{- else if semverCompare ">=1.31.0-0" $version }}
trafficDistribution: PreferClose
{{- end }}
{{- end }}
{{- end }}
