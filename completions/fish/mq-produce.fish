complete -c mq-produce -s D -d 'What ends a record, with escapes \\n \\t \\r \\0 \\\\ \\xNN [default: \\n]' -r
complete -c mq-produce -l begins -d 'A record begins with each line in which REGEX is found, so that a stack trace is one record. An idle input (for --linger, else 1s) ends a record, too' -r
complete -c mq-produce -l max-lines -d 'Most lines of a record with --begins; the next line begins another one' -r
complete -c mq-produce -l input-format -d 'Lines as another tool has them: those of kcat -J; or those of Kafka\'s console tools with headers and key, HEADERS TAB KEY TAB VALUE' -r -f -a "kcat\t'kcat -J: payload, ts, and headers in turn'
console\t'kafka-console-producer with parse.headers and parse.key'"
complete -c mq-produce -s f -l format -d 'How the input is written, as a template such as \'%k=%v\\n\' (fields: --help, mq(7))' -r
complete -c mq-produce -s K -d 'What ends the key that each record begins with' -r
complete -c mq-produce -l on-missing-key -d 'What to do with a record in which -K finds no key' -r -f -a "fail\t'The run ends'
null\t'Its key is null'"
complete -c mq-produce -s k -l key -d 'The key of records that have none; in it %{file}, %{name} (without folder) and %{line} say where the record came from' -r
complete -c mq-produce -s H -l header -d 'A header for every record (repeatable), with the fields of -k; without = its value is null' -r
complete -c mq-produce -l null-marker -d 'Keys and values that are just this are null' -r
complete -c mq-produce -s p -l partition -d 'The partition for every record' -r
complete -c mq-produce -l partitioner -d 'How a key finds its partition: murmur2 as Kafka\'s Java client, crc32 as librdkafka' -r
complete -c mq-produce -l keyless -d 'How records without a key are spread over the partitions' -r -f -a "round-robin\t'One record to each in turn'
sticky\t'One batch to each in turn'"
complete -c mq-produce -l timestamp -d 'The timestamp of records that have none [default: now]' -r
complete -c mq-produce -l acks -d 'Who must acknowledge: 0 = nobody (echoed before the sync), 1 = the leader, all = every in-sync replica' -r
complete -c mq-produce -s z -l compression -d 'Compress batches: none, gzip, snappy, lz4, zstd' -r
complete -c mq-produce -l timeout -d 'How long to try: for a lock, a leader, enough replicas in sync' -r
complete -c mq-produce -l batch-size -d 'Send a batch when it reaches this size' -r
complete -c mq-produce -l linger -d 'How long a record may wait for more while the input is idle, to be sent in one batch [default: 0ms]' -r
complete -c mq-produce -l create-partitions -d 'How many partitions a missing topic is made with [default: 1]' -r
complete -c mq-produce -s o -l echo -d 'Print this for each acknowledged record, such as \'%p %o\\n\'' -r
complete -c mq-produce -l on-error -d 'What a bad record does: end the run, or be counted (and exit 1)' -r -f -a "fail\t'End the run'
skip\t'Count it'"
complete -c mq-produce -l store -d 'The store\'s directory [default: $MQ_STORE, else $XDG_DATA_HOME/mq, else ~/.local/share/mq]' -r -F
complete -c mq-produce -l color -d 'Colour in tables' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c mq-produce -s 0 -l null -d 'Records end with NUL, as from find -print0'
complete -c mq-produce -l whole -d 'Each input is one record'
complete -c mq-produce -s J -l json -d 'Each line is a record as mq-consume -J prints it; only "value" is required'
complete -c mq-produce -l each-topic -d 'Each record goes to the topic that it names itself (-J, or kcat\'s). There is no TOPIC argument then'
complete -c mq-produce -s Z -l empty-is-null -d 'An empty value is null: a tombstone'
complete -c mq-produce -l skip-empty -d 'Skip empty records'
complete -c mq-produce -l keep-partition -d 'Each record goes to the partition that it names itself (-J, %p). For a copy make the topic first: \'mq-topics create NEW --like OLD\''
complete -c mq-produce -l no-create -d 'Fail if the topic is missing'
complete -c mq-produce -s T -l tee -d 'Write the input out again, each record once it is acknowledged. Where its reader ends, a note says so, and production goes on'
complete -c mq-produce -s q -l quiet -d 'No notes and no progress on stderr'
complete -c mq-produce -l help-json -d 'Print commands and options as JSON, for programs'
complete -c mq-produce -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mq-produce -s V -l version -d 'Print version'
