# Read by the bash that starts the plugin daemon in its image, before it does (BASH_ENV).
#
# With its telemetry on, a daemon before 0.6.9 tears traces apart: what a plugin calls of Dify begins
# a trace of its own (0.6.7 and 0.6.8: may stand in another caller's). With it off, the daemon hands
# the trace on. Images do not say which release they are, but the program has in it the name of the
# function that came with 0.6.9.
unset BASH_ENV
if [[ ${ENABLE_OTEL:-} == true ]] &&
  ! grep --quiet --fixed-strings 'calldify.(*RealBackwardsInvocation).WithContext' /app/main; then
  export ENABLE_OTEL=false
  echo "The plugin daemon's own telemetry stays off: it would take what plugins call of Dify out of its trace. From 0.6.9 on it is switched on (docs/plugin-daemon.md)." >&2
fi
