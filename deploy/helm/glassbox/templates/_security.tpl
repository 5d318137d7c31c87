{{/*
The security context of each profile. No new privileges are needed: the process has its capabilities from the start.
Docker's and containerd's default seccomp profiles permit bpf(2) with BPF and perf_event_open(2) with PERFMON.
*/}}
{{- define "glassbox.securityContext" -}}
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
readOnlyRootFilesystem: true
{{- if eq .Values.profile "privileged" }}
privileged: true
{{- else }}
privileged: false
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add:
    # Load and attach kernel programs.
    - BPF
    - PERFMON
    # Read namespaces, mounts and stacks of other users' processes.
    - SYS_PTRACE
    # Read cgroup, proc and tracefs files regardless of their mode.
    - DAC_READ_SEARCH
    {{- if eq .Values.profile "full" }}
    # Attach the programs that count sockets and requests to the cgroups of containers.
    - NET_ADMIN
    {{- end }}
seccompProfile:
  type: RuntimeDefault
appArmorProfile:
  # The default AppArmor profile denies writes to tracefs.
  type: {{ ternary "Unconfined" "RuntimeDefault" (eq .Values.profile "full") }}
{{- end }}
{{- end -}}
