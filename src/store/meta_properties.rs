//! `meta.properties` of a log directory, as Kafka's (`MetaProperties.java`, version 1): lines of
//! `name=value`.

use crate::types::{BrokerId, Uuid};

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetaProperties {
    pub cluster_id: Uuid,
    pub node_id: BrokerId,
    pub directory_id: Uuid,
}

impl MetaProperties {
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
    }
}
