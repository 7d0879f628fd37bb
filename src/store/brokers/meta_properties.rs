//! `meta.properties` of a log directory, as Kafka's (`MetaProperties.java`, version 1): lines of
//! `name=value`.

use crate::types::{BrokerId, Uuid};

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaProperties {
    pub cluster_id: Uuid,
    pub node_id: BrokerId,
    pub directory_id: Uuid,
}

impl MetaProperties {
    /// Parses a file; `None` unless it is of version 1 and names all three ids, each once. Other
    /// properties are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = || {
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        };
        let value = |name: &str| {
            let mut values = lines().filter_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim())
            });
            values.next().filter(|_| values.next().is_none())
        };
        let known = value("version")? == "1" && lines().all(|line| line.contains('='));
        Some(MetaProperties {
            cluster_id: value("cluster.id")?.parse().ok()?,
            node_id: value("node.id")?.parse().ok()?,
            directory_id: value("directory.id")?.parse().ok()?,
        })
        .filter(|_| known)
    }

    pub fn encode(&self) -> String {
        format!(
            "cluster.id={}\ndirectory.id={}\nnode.id={}\nversion=1\n",
            self.cluster_id, self.directory_id, self.node_id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kafkas_properties_file() {
        let file = MetaProperties {
            cluster_id: Uuid([1; 16]),
            node_id: 0,
            directory_id: Uuid([2; 16]),
        };
        let text = file.encode();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        let ids = (Uuid([1; 16]), Uuid([2; 16]));
        let expected = [
            format!("cluster.id={}", ids.0),
            format!("directory.id={}", ids.1),
            "node.id=0".to_owned(),
            "version=1".to_owned(),
        ];
        assert_eq!(lines, expected);
        assert_eq!(MetaProperties::parse(&text), Some(file.clone()));
        let kafkas = format!("#\n#Wed Nov 25 10:00:00 UTC 2026\n{text}");
        assert_eq!(MetaProperties::parse(&kafkas), Some(file));
        for bad in [
            "",
            &text.replace("version=1", "version=2"),
            &text.replace("version=1\n", ""),
            &text.replace("node.id=0", "node.id=x"),
            &text.replace("node.id=0", "node.id=0\nnode.id=0"),
            &text.replace("node.id=0", "node"),
            &text[..text.len() / 2],
        ] {
            assert_eq!(MetaProperties::parse(bad), None, "{bad}");
        }
    }
}
