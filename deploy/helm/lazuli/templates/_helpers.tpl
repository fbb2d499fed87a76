{{- define "lazuli.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "lazuli.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lazuli.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lazuli.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lazuli.labels" -}}
{{ include "lazuli.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "lazuli.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lazuli.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lazuli.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "yes" when nodes keep nothing: a database server and an object store. Refuses values that cannot work. */}}
{{- define "lazuli.stateless" -}}
{{- $database := ne .Values.database.existingSecret "" -}}
{{- $bucket := ne .Values.storage.url "disk" -}}
{{- if and $database $bucket -}}
yes
{{- else if or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled -}}
{{- fail "more than one node needs database.existingSecret and an object store in storage.url" -}}
{{- end -}}
{{- end -}}

{{- define "lazuli.publicUrl" -}}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) (first .Values.ingress.hosts) -}}
{{- end -}}
{{- end -}}

{{- define "lazuli.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{ end -}}

{{- define "lazuli.variable" -}}
- name: {{ .variable }}
  value: {{ .value | toString | quote }}
{{ end -}}

{{- define "lazuli.environment" -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_HTTP" "value" "0.0.0.0:5000") -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_HTTPS" "value" (ternary "0.0.0.0:5443" "off" (ne .Values.tls.existingSecret ""))) -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_DATA_DIR" "value" "/var/lib/lazuli/data") -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_REGISTRY_NAME" "value" .Values.registryName) -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_ANONYMOUS_PULL" "value" .Values.anonymousPull) -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_METRICS_ACCESS" "value" "everyone") -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_LIMITS_SHUTDOWN_GRACE" "value" (printf "%ds" (int .Values.shutdownGrace))) -}}
{{- with include "lazuli.publicUrl" . -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_PUBLIC_URL" "value" .) -}}
{{- end -}}
{{- with .Values.trustedProxies -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_TRUSTED_PROXIES" "value" (join "," .)) -}}
{{- end -}}
{{- $secret := required "existingSecret is the name of a secret with the key admin-password, and master-key for more than one node" .Values.existingSecret -}}
{{- $alone := eq (include "lazuli.stateless" .) "" -}}
{{- template "lazuli.fromSecret" (dict "variable" "LAZULI_MASTER_KEY" "secret" $secret "key" "master-key" "optional" $alone) -}}
{{- template "lazuli.fromSecret" (dict "variable" "LAZULI_ADMIN_PASSWORD" "secret" $secret "key" "admin-password") -}}
{{- if .Values.database.existingSecret -}}
{{- template "lazuli.fromSecret" (dict "variable" "LAZULI_DATABASE_URL" "secret" .Values.database.existingSecret "key" .Values.database.key) -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_DATABASE_CONNECTIONS" "value" (int .Values.database.connections)) -}}
{{- end -}}
{{- if ne .Values.storage.url "disk" -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_STORAGE_URL" "value" .Values.storage.url) -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_STORAGE_REDIRECT" "value" .Values.storage.redirect) -}}
{{- with .Values.storage.endpoint -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_STORAGE_ENDPOINT" "value" .) -}}
{{- end -}}
{{- with .Values.storage.region -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_STORAGE_REGION" "value" .) -}}
{{- end -}}
{{- with .Values.storage.existingSecret -}}
{{- template "lazuli.fromSecret" (dict "variable" "LAZULI_STORAGE_ACCESS_KEY" "secret" . "key" "access-key") -}}
{{- template "lazuli.fromSecret" (dict "variable" "LAZULI_STORAGE_SECRET_KEY" "secret" . "key" "secret-key") -}}
{{- end -}}
{{- if .Values.storage.authoritiesConfigMap -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_STORAGE_AUTHORITIES" "value" "/etc/lazuli/authorities/ca.crt") -}}
{{- end -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_TLS_CERTIFICATE" "value" "/etc/lazuli/tls/tls.crt") -}}
{{- template "lazuli.variable" (dict "variable" "LAZULI_TLS_KEY" "value" "/etc/lazuli/tls/tls.key") -}}
{{- end -}}
{{- with .Values.extraEnv -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
