//! Administration of topics: create, list, describe, alter, delete.

use std::collections::BTreeMap;

use super::store::Store;
use super::topic::{NewTopic, PartitionInfo, TopicInfo};
use crate::client::{self, NewReplicas};
use crate::error::{Error, Kind, Result};
use crate::types::TopicName;

/// Administers the topics of a store.
///
/// ```
/// use mq::{NewTopic, Store};
///
/// # fn main() -> mq::Result<()> {
/// # let scratch = tempfile::tempdir().expect("a directory");
/// # let path = scratch.path().join("store");
/// let admin = Store::open(path)?.admin();
/// let orders = admin.ensure_topic(NewTopic::new("orders").partitions(2))?;
/// assert_eq!(orders.partitions.len(), 2);
/// assert_eq!(admin.list()?, ["orders"]);
/// admin.delete("orders")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    store: Store,
    engine: client::Admin,
}

impl Store {
    /// Administers the topics of this store.
    pub fn admin(&self) -> Admin {
        Admin {
            engine: client::Admin::new(self.dir(), self.timeout()),
            store: self.clone(),
        }
    }
}

impl Admin {
    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Creates a topic if none of that name exists. An existing topic stays unchanged, whatever its
    /// partitions and configs.
    ///
    /// # Errors
    /// As [`Admin::create`] but `TopicExists`.
    pub fn ensure_topic(&self, topic: NewTopic) -> Result<TopicInfo> {
        let new = engine_topic(topic)?;
        let made = self.engine.open_or_create(&new);
        made.map_err(|e| e.of_topic(&new.name))?;
        self.describe(new.name.as_str())
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`Kind::TopicExists`], [`Kind::InvalidTopic`], [`Kind::InvalidConfig`], [`Kind::Usage`];
    /// [`Kind::BrokerState`] for more replicas than running brokers.
    pub fn create(&self, topic: NewTopic) -> Result<TopicInfo> {
        let new = engine_topic(topic)?;
        let made = self.engine.create_topic(&new);
        made.map_err(|e| e.of_topic(&new.name))?;
        self.describe(new.name.as_str())
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`].
    pub fn delete(&self, topic: &str) -> Result<()> {
        let name = TopicName::new(topic)?;
        let deleted = self.engine.delete_topic(&name);
        deleted.map_err(|e| e.of_topic(topic))
    }

    /// The names of all topics, sorted.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn list(&self) -> Result<Vec<String>> {
        let names = self.engine.list()?;
        Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
    }

    /// A topic with its present configs and partitions.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::Damaged`] (the topic file). A partition whose log cannot be read
    /// has no offsets in the result.
    pub fn describe(&self, topic: &str) -> Result<TopicInfo> {
        let described = self.engine.describe(&TopicName::new(topic)?);
        let described = described.map_err(|e| e.of_topic(topic))?;
        let explicit = described.configs.into_iter().filter(|one| one.explicit);
        let partitions = described.partitions.into_iter().map(|one| PartitionInfo {
            partition: one.partition,
            leader: one.leader,
            replicas: one.replicas,
            isr: one.isr,
            start_offset: one.log.map(|log| log.log_start_offset),
            end_offset: one.log.map(|log| log.high_watermark),
            size_bytes: one.log.map(|log| log.size_bytes),
        });
        Ok(TopicInfo {
            name: described.name.as_str().to_owned(),
            id: described.topic_id.to_string(),
            partitions: partitions.collect(),
            configs: explicit
                .map(|one| (one.name.to_owned(), one.value))
                .collect(),
        })
    }

    /// Changes a topic: sets the configs that have a value, and resets the others of these to their
    /// defaults.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`], [`Kind::InvalidConfig`].
    pub fn alter<'c>(
        &self,
        topic: &str,
        configs: impl IntoIterator<Item = (&'c str, Option<&'c str>)>,
    ) -> Result<TopicInfo> {
        let name = TopicName::new(topic)?;
        let (mut set, mut unset) = (BTreeMap::new(), Vec::new());
        for (config, value) in configs {
            match value {
                Some(value) => {
                    set.insert(config.to_owned(), value.to_owned());
                }
                None => unset.push(config.to_owned()),
            }
        }
        if set.is_empty() && unset.is_empty() {
            let text = format!("no config of topic {topic} to change");
            return Err(Error::new(Kind::Usage, text).of_topic(topic));
        }
        let altered = self.engine.alter_configs(&name, &set, &unset);
        altered.map_err(|e| e.of_topic(topic))?;
        self.describe(topic)
    }

    /// Raises a topic's number of partitions to `partitions`. Keys may go to other partitions from
    /// then on.
    ///
    /// # Errors
    /// [`Kind::Usage`] if that is not more than now; [`Kind::UnknownTopic`].
    pub fn add_partitions(&self, topic: &str, partitions: i32) -> Result<TopicInfo> {
        let name = TopicName::new(topic)?;
        let added = self.engine.add_partitions(&name, partitions);
        added.map_err(|e| e.of_topic(topic))?;
        self.describe(topic)
    }
}

fn engine_topic(topic: NewTopic) -> Result<client::TopicRequest> {
    Ok(client::TopicRequest {
        name: TopicName::new(topic.name)?,
        replicas: NewReplicas::Placed {
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
        },
        configs: topic.configs,
    })
}
