//! Notes `%{json}` in a template: a literal brace, where probably a field or a modifier was meant.

use super::number::NumberFormat;
use super::origin::OriginText;
use super::stamp::TimeFormat;
use super::template::field_named;
use super::text::TextFormat;

/// The note on the first `%{NAME}` whose NAME is a template's word; `None`: there is none.
pub fn literal_braces(template: &str) -> Option<String> {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('%') {
        // A header's name may be any text.
        if let Some((_, behind)) = after
            .strip_prefix("h[")
            .and_then(|name| name.split_once(']'))
        {
            rest = behind;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else {
            // The percent sign of %% begins no field.
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

/// The field that `%{name}` probably means.
fn meant(name: &str) -> Option<String> {
    if OriginText::has_field(name) {
        return Some(format!(
            "only mq-produce -k and -H have the field %{{{name}}}"
        ));
    }
    let modified = if TextFormat::from_name(name).is_some() {
        Some('v')
    } else if NumberFormat::from_name(name).is_some() {
        Some('o')
    } else if TimeFormat::from_name(name).is_ok_and(|format| format.is_some()) {
        Some('d')
    } else {
        None
    };
    if let Some(field) = modified {
        return Some(format!("a modifier follows a field: %{field}{{{name}}}"));
    }
    // Names in other tools.
    let word = match name {
        "payload" => "value",
        "time" | "ts" => "timestamp",
        "header" | "headers" => {
            return Some("%h[NAME] is one header, %h{ %k=%v } all of them".to_owned());
        }
        name => name,
    };
    field_named(word).map(|field| format!("the {word} is {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_a_template_are_told() {
        assert_eq!(literal_braces("%h[%{key}]\\n"), None);
        assert!(literal_braces("%h[a] %{key}\\n").is_some());
        for (template, reported) in [
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
                "%{big32}",
                "%{big32} stands for the text {big32}, since %{ is a literal brace; a modifier follows a field: %o{big32}",
            ),
            (
                "%{strftime[%H]}",
                "%{strftime[%H]} stands for the text {strftime[%H]}, since %{ is a literal brace; a modifier follows a field: %d{strftime[%H]}",
            ),
            (
                "%{payload}",
                "%{payload} stands for the text {payload}, since %{ is a literal brace; the value is %v",
            ),
            (
                "%{log start}",
                "%{log start} stands for the text {log start}, since %{ is a literal brace; the log start is %w",
            ),
            (
                "%{key}",
                "%{key} stands for the text {key}, since %{ is a literal brace; the key is %k",
            ),
        ] {
            assert_eq!(
                literal_braces(template).as_deref(),
                Some(reported),
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
