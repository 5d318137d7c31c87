# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_glassbox_global_optspecs
    string join \n h/help V/version
end

function __fish_glassbox_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_glassbox_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_glassbox_using_subcommand
    set -l cmd (__fish_glassbox_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c glassbox -n "__fish_glassbox_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c glassbox -n "__fish_glassbox_needs_command" -s V -l version -d 'Print version'
complete -c glassbox -n "__fish_glassbox_needs_command" -f -a "run" -d 'Run the agent until SIGTERM or SIGINT'
complete -c glassbox -n "__fish_glassbox_needs_command" -f -a "check" -d 'Check what works on this host, what does not, and why'
complete -c glassbox -n "__fish_glassbox_needs_command" -f -a "health" -d 'Ask the agent on this host whether it is healthy, for health checks of containers'
complete -c glassbox -n "__fish_glassbox_needs_command" -f -a "config" -d 'Print the effective configuration as TOML: the file and every default'
complete -c glassbox -n "__fish_glassbox_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c glassbox -n "__fish_glassbox_using_subcommand run" -l config -d 'Configuration file [default: /etc/glassbox/agent.toml, if it exists]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand run" -l listen -d 'Address of the HTTP listener, such as 0.0.0.0:9966 [default: 127.0.0.1:9966]' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand run" -l web-config -d 'Web configuration file: TLS and basic authentication, in the format of Prometheus\' exporters [default: none]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand run" -l log -d 'Log level: error, warn, info, debug, trace or off; or per module, as in glassbox=debug,info [default: info]' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand run" -s h -l help -d 'Print help'
complete -c glassbox -n "__fish_glassbox_using_subcommand check" -l config -d 'Configuration file [default: /etc/glassbox/agent.toml, if it exists]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand check" -l json -d 'Print the report as JSON; docs/check.md describes the format'
complete -c glassbox -n "__fish_glassbox_using_subcommand check" -s h -l help -d 'Print help'
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l config -d 'Configuration file of the agent [default: /etc/glassbox/agent.toml, if it exists]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l listen -d 'Address of the agent\'s HTTP listener, as for `glassbox run` [default: 127.0.0.1:9966]' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l web-config -d 'Web configuration file of the agent, as for `glassbox run` [default: none]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l cert-file -d 'Certificate to identify with, if the agent requires client certificates' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l key-file -d 'Private key of that certificate' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -l timeout -d 'Timeout for the whole check, in seconds, 1 to 60' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand health" -s h -l help -d 'Print help'
complete -c glassbox -n "__fish_glassbox_using_subcommand config" -l config -d 'Configuration file [default: /etc/glassbox/agent.toml, if it exists]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand config" -l listen -d 'Address of the HTTP listener, such as 0.0.0.0:9966 [default: 127.0.0.1:9966]' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand config" -l web-config -d 'Web configuration file: TLS and basic authentication, in the format of Prometheus\' exporters [default: none]' -r -F
complete -c glassbox -n "__fish_glassbox_using_subcommand config" -l log -d 'Log level: error, warn, info, debug, trace or off; or per module, as in glassbox=debug,info [default: info]' -r
complete -c glassbox -n "__fish_glassbox_using_subcommand config" -s h -l help -d 'Print help'
complete -c glassbox -n "__fish_glassbox_using_subcommand help; and not __fish_seen_subcommand_from run check health config help" -f -a "run" -d 'Run the agent until SIGTERM or SIGINT'
complete -c glassbox -n "__fish_glassbox_using_subcommand help; and not __fish_seen_subcommand_from run check health config help" -f -a "check" -d 'Check what works on this host, what does not, and why'
complete -c glassbox -n "__fish_glassbox_using_subcommand help; and not __fish_seen_subcommand_from run check health config help" -f -a "health" -d 'Ask the agent on this host whether it is healthy, for health checks of containers'
complete -c glassbox -n "__fish_glassbox_using_subcommand help; and not __fish_seen_subcommand_from run check health config help" -f -a "config" -d 'Print the effective configuration as TOML: the file and every default'
complete -c glassbox -n "__fish_glassbox_using_subcommand help; and not __fish_seen_subcommand_from run check health config help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
