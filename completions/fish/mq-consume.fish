complete -c mq-consume -s p -l partitions -d 'Only these partitions, such as 0,2-5' -r
complete -c mq-consume -s o -l offset -d 'From where to where: POINT, A:B, or 0=A:B,3=C. Points: start end N +N -N @TIME stored; B may be @+5m: so long after the time A. TIME is 10:00, 2026-01-31T10:00, yesterday, -10m (ago) and others (mq(7)): the first record whose timestamp is not older, as in Kafka. With -g, A counts only where the group has committed nothing' -r
complete -c mq-consume -s c -l count -d 'Stop after N printed records' -r
complete -c mq-consume -l tail -d 'Begin with the last N records that match (over all partitions, by time)' -r
complete -c mq-consume -l replica -d 'Read the replica that this broker holds, up to its own high watermark' -r
complete -c mq-consume -l rack -d 'Read replicas on this rack that are in sync, and leaders where there is none' -r
complete -c mq-consume -l idle-timeout -d 'Stop when no record has come for TIME' -r
complete -c mq-consume -l key -d 'Only records with this key' -r
complete -c mq-consume -l grep -d 'Only records whose value matches' -r
complete -c mq-consume -s f -l format -d 'A template such as \'%k=%v\\n\' (fields: --help, mq(7)), or one of the names value and json' -r
complete -c mq-consume -s D -d 'What ends a record, with escapes \\n \\t \\r \\0 \\\\ \\xNN [default: \\n]' -r
complete -c mq-consume -s K -d 'Print the key and this before the value' -r
complete -c mq-consume -l null-marker -d 'What a null key or value prints as [default: nothing]' -r
complete -c mq-consume -s g -l group -d 'Read for a consumer group: go on where it left off, and commit. Where it has committed nothing it begins at the start, or where -o says' -r
complete -c mq-consume -l commit -d 'When to commit what was written out' -r -f -a "after-write\t'Periodically, for output already delivered'
on-exit\t'Once, on exit with status 0'
never\t'Not at all'"
complete -c mq-consume -l commit-interval -d 'How often to commit; also as soon as there is nothing left to read [default: 1s]' -r
complete -c mq-consume -l assignor -d 'How members share partitions: uniform (also called sticky) or range [default: the group\'s]' -r
complete -c mq-consume -l instance-id -d 'Be a static member: come back under this name to the same partitions, without a rebalance' -r
complete -c mq-consume -l session-timeout -d 'How long a member may show no sign of life, or a static one be away, before others take its partitions [default: 45s]' -r
complete -c mq-consume -l exec -d 'Run a command (sh -c) for each record, on its standard input; exit status 0 commits it' -r
complete -c mq-consume -l batch -d 'Pass up to N records of one partition to each command, 4 MiB at most [default: 1]' -r
complete -c mq-consume -l retries -d 'Retry a failed command up to N times, with growing pauses [default: 0]' -r
complete -c mq-consume -l dead-letter -d 'After the last retry, copy the records to this topic (error details in headers) and continue' -r
complete -c mq-consume -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-consume -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-consume -s r -l regex -d 'TOPIC is a regular expression that the whole name matches'
complete -c mq-consume -l wait -d 'Wait for topics that do not exist yet; topics that exist are read meanwhile (with -g -e, after the wait)'
complete -c mq-consume -s e -l end -d 'Stop at the end, as it is now'
complete -c mq-consume -l invert-match -d 'Print only records that do not match --key and --grep'
complete -c mq-consume -l no-tombstones -d 'No records with a null value'
complete -c mq-consume -s J -l json -d 'A JSON object a line, lossless: mq-produce -J reads it back'
complete -c mq-consume -s 0 -l null -d 'Records end with NUL, for xargs -0'
complete -c mq-consume -l raw -d 'Control characters go to a terminal as they are'
complete -c mq-consume -l fail-if-empty -d 'Exit 4 if nothing was printed, or fewer than -c'
complete -c mq-consume -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-consume -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-consume -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-consume -s V -l version -d 'Print version'
