use super::*;

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn refused(pairs: &[(&str, &str)]) -> Error {
    let error = TopicConfigs::from_explicit(&set(pairs)).expect_err("refused");
    assert_eq!(error.kind(), Kind::InvalidConfig);
    error
}

#[test]
fn nothing_set_is_all_defaults() {
    let configs = TopicConfigs::from_explicit(&BTreeMap::new()).expect("defaults");
    assert_eq!(configs, TopicConfigs::default());
    assert_eq!(configs.durability(), Durability::EveryMessage);
    let lines = configs.describe();
    assert!(lines.iter().all(|line| line.origin == "default"));
    assert_eq!(
        lines.iter().map(|line| line.name).collect::<Vec<_>>(),
        NAMES
    );
    assert!(NAMES.is_sorted() && UNSUPPORTED.is_sorted());
}

#[test]
fn every_described_value_can_be_set() {
    let lines = TopicConfigs::default().describe();
    let all: BTreeMap<_, _> = lines
        .into_iter()
        .map(|line| (line.name.to_owned(), line.value))
        .collect();
    let configs = TopicConfigs::from_explicit(&all).expect("its own spelling");
    assert_eq!(configs.explicit(), &all);
    assert!(configs.describe().iter().all(|line| line.origin == "topic"));
}

#[test]
fn ranges_end_where_they_say() {
    for (name, value, good) in [
        (SEGMENT_BYTES, "1023", false),
        (SEGMENT_BYTES, "1024", true),
        (SEGMENT_BYTES, "2147483647", true),
        (SEGMENT_BYTES, "2147483648", false),
        (SEGMENT_MS, "0", false),
        (SEGMENT_MS, "1", true),
        (SEGMENT_INDEX_BYTES, "23", false),
        (SEGMENT_INDEX_BYTES, "24", true),
        (INDEX_INTERVAL_BYTES, "0", true),
        (INDEX_INTERVAL_BYTES, "-1", false),
        (MAX_MESSAGE_BYTES, "", false),
        (MAX_MESSAGE_BYTES, "1k", false),
        (FLUSH_MESSAGES, "0", false),
        (TIMESTAMP_TYPE, "LogAppendTime", true),
        (TIMESTAMP_TYPE, "logappendtime", false),
        (COMPRESSION_TYPE, "uncompressed", true),
        (COMPRESSION_TYPE, "none", false),
        (SEGMENT_BYTES, "never", false),
    ] {
        let result = TopicConfigs::from_explicit(&set(&[(name, value)]));
        assert_eq!(result.is_ok(), good, "{name}={value}");
    }
}

#[test]
fn never_has_two_spellings_and_one_print() {
    for never in ["never", "9223372036854775807"] {
        let configs = TopicConfigs::from_explicit(&set(&[(FLUSH_MESSAGES, never)])).expect("never");
        assert_eq!(configs.durability(), Durability::Never);
        assert_eq!(
            configs.explicit().get(FLUSH_MESSAGES).map(String::as_str),
            Some("never")
        );
    }
}

#[test]
fn durability_never_weakens_unasked() {
    let error = refused(&[(FLUSH_MS, "1000")]);
    assert!(error.to_string().contains("would do nothing"), "{error}");
    refused(&[(FLUSH_MS, "1000"), (FLUSH_MESSAGES, "1")]);
    let both = |messages| {
        TopicConfigs::from_explicit(&set(&[(FLUSH_MS, "1000"), (FLUSH_MESSAGES, messages)]))
            .expect("asked for")
            .durability()
    };
    assert_eq!(both("never"), Durability::Ms(1000));
    assert_eq!(both("10"), Durability::Messages(10));
    // Back to the default with flush.ms still there: refused as a whole.
    let configs = TopicConfigs::from_explicit(&set(&[(FLUSH_MS, "5"), (FLUSH_MESSAGES, "never")]))
        .expect("set");
    assert!(
        configs
            .altered(&BTreeMap::new(), &[FLUSH_MESSAGES.to_owned()])
            .is_err()
    );
    let back = configs
        .altered(
            &BTreeMap::new(),
            &[FLUSH_MESSAGES.to_owned(), FLUSH_MS.to_owned()],
        )
        .expect("both");
    assert_eq!(back, TopicConfigs::default());
}

#[test]
fn unknown_names_are_told_apart() {
    let typo = refused(&[("segment.byte", "1024")]);
    assert!(
        typo.cure_text()
            .is_some_and(|cure| cure.contains(SEGMENT_BYTES))
    );
    let kafkas = refused(&[("retention.ms", "1")]);
    assert!(kafkas.to_string().contains("not supported in this version"));
    let none = TopicConfigs::default()
        .altered(&BTreeMap::new(), &["no.such".to_owned()])
        .expect_err("unset of nothing");
    assert_eq!(none.kind(), Kind::InvalidConfig);
    let both = TopicConfigs::default()
        .altered(&set(&[(SEGMENT_MS, "5")]), &[SEGMENT_MS.to_owned()])
        .expect_err("contradiction");
    assert!(both.to_string().contains("both"));
}
