{{/* Pods of a role: root, component. */}}

{{- define "headwater.podTemplate" -}}
{{- $values := .root.Values }}
{{- $role := index $values .component }}
metadata:
  labels:
    {{- $labels := include "headwater.labels" . | fromYaml }}
    {{- /* Those that a Deployment's rollout need not follow would make every chart version a restart. */}}
    {{- $labels = omit $labels "helm.sh/chart" }}
    {{- toYaml (merge $labels $role.podLabels) | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    checksum/config: {{ include "headwater.config" . | sha256sum }}
    {{- with merge (dict) $role.podAnnotations $values.commonAnnotations }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "headwater.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "headwater.pullSecrets" (dict "root" .root "image" $values.image) | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "headwater.grace" $role }}
  {{- with $role.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "headwater.placement" . | nindent 2 }}
  {{- with $role.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  containers:
    {{- include "headwater.container" . | nindent 4 }}
    {{- with $role.sidecars }}
    {{- tpl (toYaml .) $.root | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "headwater.volumes" . | nindent 4 }}
{{- end }}

{{- define "headwater.container" -}}
{{- $values := .root.Values }}
{{- $role := index $values .component -}}
- name: {{ .component }}
  image: {{ include "headwater.image" (dict "root" .root "image" $values.image "tag" .root.Chart.AppVersion) }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args:
    - {{ .component }}
    {{- range $role.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  {{- with $role.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  env:
    {{- include "headwater.env" . | nindent 4 }}
  {{- with $role.extraEnvFrom }}
  envFrom:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- end }}
  ports:
    - name: rtmp
      containerPort: {{ $role.ports.rtmp }}
      protocol: TCP
    - name: admin
      containerPort: {{ $role.ports.admin }}
      protocol: TCP
    {{- if include "headwater.servesRelays" (dict "component" .component "role" $role) }}
    {{- range $slot := until (int $role.workers) }}
    - name: relay-{{ $slot }}
      containerPort: {{ add $role.ports.relay $slot }}
      protocol: TCP
    {{- end }}
    {{- end }}
  {{- range $kind, $path := dict "startupProbe" "/startupz" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
  {{- $probe := index $role $kind }}
  {{- if $probe.enabled }}
  {{ $kind }}:
    httpGet:
      path: {{ $path }}
      port: admin
    {{- toYaml (omit $probe "enabled") | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $role.lifecycle }}
  lifecycle:
    {{- tpl (toYaml .) $.root | nindent 4 }}
  {{- else }}
  {{- if gt (int $role.drain.preStopSeconds) 0 }}
  lifecycle:
    preStop:
      {{- if semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version }}
      sleep:
        seconds: {{ $role.drain.preStopSeconds }}
      {{- else }}
      # Before Kubernetes 1.30 there is no sleep of its own, and the image may have no shell.
      exec:
        command: [python, -c, "import time; time.sleep({{ $role.drain.preStopSeconds }})"]
      {{- end }}
  {{- end }}
  {{- end }}
  {{- with $role.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "headwater.volumeMounts" . | nindent 4 }}
{{- end }}

{{- define "headwater.env" -}}
{{- $values := .root.Values }}
{{- $env := include "headwater.ownEnv" . | fromYamlArray }}
{{- $names := dict }}
{{- range $env }}{{ $_ := set $names .name true }}{{ end }}
{{- range (index $values .component).extraEnv }}
{{- if hasKey $names .name }}
{{- fail (printf "%s.extraEnv: %s is there already" $.component .name) }}
{{- end }}
{{- $_ := set $names .name true }}
{{- end }}
{{- toYaml $env }}
{{- with (index $values .component).extraEnv }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{- define "headwater.ownEnv" -}}
{{- $values := .root.Values -}}
- name: HEADWATER_CONFIG
  value: /etc/headwater/config/headwater.yaml
- name: HEADWATER_NODE__ADVERTISE_HOST
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- if not $values.zone }}
# Empty where Kubernetes does not hand the label to pods.
- name: HEADWATER_NODE__ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['topology.kubernetes.io/zone']
{{- end }}
{{- with $values.redis.urlSecret }}
{{- if .name }}
- name: HEADWATER_REDIS__URL
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- with $values.redis.sentinel.passwordSecret }}
{{- if .name }}
- name: HEADWATER_REDIS__SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{- define "headwater.volumeMounts" -}}
{{- $values := .root.Values -}}
- name: config
  mountPath: /etc/headwater/config
  readOnly: true
- name: run
  mountPath: /run/headwater
- name: tmp
  mountPath: /tmp
{{- if $values.redis.passwordSecret.name }}
- name: redis-password
  mountPath: /etc/headwater/redis
  readOnly: true
{{- end }}
{{- if $values.redis.tls.secretName }}
- name: redis-tls
  mountPath: /etc/headwater/redis-tls
  readOnly: true
{{- end }}
{{- with (index $values .component).extraVolumeMounts }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{- define "headwater.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap:
    name: {{ include "headwater.fullname" .root }}-{{ .component }}
# Sockets between workers, and the files that they count in: in memory, so that counting costs no disk.
- name: run
  emptyDir:
    medium: Memory
    sizeLimit: 128Mi
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with $values.redis.passwordSecret }}
{{- if .name }}
- name: redis-password
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: password
{{- end }}
{{- end }}
{{- with $values.redis.tls.secretName }}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with (index $values .component).extraVolumes }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}

{{/* Where pods go. */}}
{{- define "headwater.placement" -}}
{{- $role := index .root.Values .component }}
{{- $selector := include "headwater.selectorLabels" . | fromYaml }}
{{- with $role.affinity }}
affinity:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- else }}
{{- $term := dict "labelSelector" (dict "matchLabels" $selector) "topologyKey" "kubernetes.io/hostname" }}
{{- if eq $role.antiAffinity "soft" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          {{- toYaml $term | nindent 10 }}
{{- else if eq $role.antiAffinity "hard" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - {{- toYaml $term | nindent 8 }}
{{- end }}
{{- end }}
{{- with $role.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
{{- $constraint := merge (dict) . (dict "labelSelector" (dict "matchLabels" $selector)) }}
{{- if eq $.component "edge" }}
{{- /* Pods of the former ReplicaSet, which leave anyway, do not count. */}}
{{- $constraint = merge $constraint (dict "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
  - {{- toYaml $constraint | nindent 4 }}
{{- end }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- with index $role $field }}
{{- if kindIs "string" . }}
{{ $field }}: {{ . }}
{{- else }}
{{ $field }}:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" $role.hostUsers) }}
hostUsers: {{ $role.hostUsers }}
{{- end }}
{{- end }}
