//! `%{json}` in a template: a literal brace, where most likely a field or a modifier was meant.

/// What to say of the first `%{NAME}` in which NAME is a word of a template; `None`: there is none.
pub fn literal_braces(template: &str) -> Option<String> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('%') {
        // The name of a header may be anything.
        if let Some((_, behind)) = after
            .strip_prefix("h[")
            .and_then(|name| name.split_once(']'))
        {
            rest = behind;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else {
            // The sign of %% begins no field.
            rest = after.strip_prefix('%').unwrap_or(after);
            continue;
        };
        if let Some((name, _)) = inner.split_once('}')
            && let Some(meant) = meant(name)
        {
            return Some(format!(
                "%{{{name}}} stands for the text {{{name}}}, since %{{ is a literal brace; {meant}"
            ));
        }
        rest = inner;
    }
    None
}

/// What somebody means by `%{name}`.
fn meant(name: &str) -> Option<String> {
    let field = match name {
        "file" | "name" | "line" => {
            return Some(format!(
                "only mq-produce -k and -H have the field %{{{name}}}"
            ));
        }
        "hex" | "base64" | "json" | "escape" => {
            return Some(format!("a modifier follows a field: %v{{{name}}}"));
        }
        "ms" | "s" | "rfc3339" | "local" => {
            return Some(format!("a modifier follows a field: %d{{{name}}}"));
        }
        "key" => "the key is %k",
        "value" | "payload" => "the value is %v",
        "topic" => "the topic is %t",
        "partition" => "the partition is %p",
        "offset" => "the offset is %o",
        "timestamp" | "time" | "ts" => "the timestamp is %d",
        "header" | "headers" => "%h[NAME] is one header, %h{ %k=%v } all of them",
        _ => return None,
    };
    Some(field.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_a_template_are_told() {
        assert_eq!(literal_braces("%h[%{key}]\\n"), None);
        assert!(literal_braces("%h[a] %{key}\\n").is_some());
        for (template, told) in [
            (
                "%{file}\\n",
                "%{file} stands for the text {file}, since %{ is a literal brace; only mq-produce -k and -H have the field %{file}",
            ),
            (
                "%k=%{json}\\n",
                "%{json} stands for the text {json}, since %{ is a literal brace; a modifier follows a field: %v{json}",
            ),
            (
                "%{x} %{rfc3339}",
                "%{rfc3339} stands for the text {rfc3339}, since %{ is a literal brace; a modifier follows a field: %d{rfc3339}",
            ),
            (
                "%{key}",
                "%{key} stands for the text {key}, since %{ is a literal brace; the key is %k",
            ),
        ] {
            assert_eq!(
                literal_braces(template).as_deref(),
                Some(told),
                "{template}"
            );
        }
        for template in [
            "%v{json}",
            "%%{json}",
            "%{",
            "%{x}",
            "{json}",
            "%{ \"v\": %v{json} %}",
            "%",
        ] {
            assert_eq!(literal_braces(template), None, "{template}");
        }
    }
}
