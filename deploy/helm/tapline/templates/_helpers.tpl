{{- define "tapline.labels" -}}
app.kubernetes.io/name: tapline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tapline.config" -}}
{{- $names := .Values.kubernetes.enabled | ternary (dict "kubernetes" (dict "enabled" true)) dict }}
{{- toYaml (mergeOverwrite (deepCopy $names) .Values.config) }}
{{- end }}

{{- define "tapline.pod" -}}
metadata:
  labels:
    {{- include "tapline.labels" . | nindent 4 }}
  annotations:
    # A changed configuration is a new pod.
    tapline/config: {{ include "tapline.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: {{ .Values.kubernetes.enabled }}
  {{- if .Values.kubernetes.enabled }}
  serviceAccountName: {{ .Release.Name }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if eq .Values.mode "node" }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  hostPID: {{ .Values.collectors.enabled }}
  {{- end }}
  terminationGracePeriodSeconds: 30
  containers:
  - name: tapline
    image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [agent, --config, /etc/tapline/tapline.yaml]
    env:
    - name: NODE_NAME
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - {name: metrics, containerPort: 9091}
    {{- if eq .Values.mode "mirror" }}
    - {name: mirror, containerPort: {{ .Values.mirror.port }}, protocol: UDP}
    {{- end }}
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 10
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
    securityContext:
      runAsUser: 0
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities:
        drop: [ALL]
        add: [NET_RAW, NET_ADMIN{{ if .Values.collectors.enabled }}, BPF, PERFMON, SYS_PTRACE, SYSLOG, DAC_READ_SEARCH{{ end }}]
    resources: {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
    - {name: config, mountPath: /etc/tapline, readOnly: true}
    - {name: state, mountPath: /var/lib/tapline}
    - {name: log, mountPath: /var/log/tapline}
    - {name: run, mountPath: /run}
    {{- if .Values.collectors.enabled }}
    - {name: cgroup, mountPath: /sys/fs/cgroup, readOnly: true}
    - {name: tracing, mountPath: /sys/kernel/tracing}
    - {name: kmsg, mountPath: /dev/kmsg, readOnly: true}
    {{- end }}
  volumes:
  - name: config
    configMap: {name: {{ .Release.Name }}}
  - name: state
    {{- if .Values.state.hostPath }}
    hostPath: {path: {{ .Values.state.hostPath }}, type: DirectoryOrCreate}
    {{- else }}
    emptyDir: {}
    {{- end }}
  - name: log
    emptyDir: {}
  - name: run
    emptyDir: {medium: Memory}
  {{- if .Values.collectors.enabled }}
  - name: cgroup
    hostPath: {path: /sys/fs/cgroup}
  - name: tracing
    hostPath: {path: /sys/kernel/tracing}
  - name: kmsg
    hostPath: {path: /dev/kmsg}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.mode "node" }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
