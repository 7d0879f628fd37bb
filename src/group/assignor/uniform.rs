//! As many partitions for each member, and as few moved as that allows.
//!
//! Topics of the same subscribers form a pool. How many partitions of each pool each member gets is
//! decided first ([`shares`](super::shares)); any of a member's partitions in a pool are as good to
//! keep as others. Then members give up what they have beyond their shares, and partitions without
//! an owner are handed out, both so that each topic is spread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::shares::{Link, share_out};
use super::subscriber::{SubscribedTopic, Subscriber, numbers_of};
use crate::types::TopicPartition;

/// What each of `members` owns.
pub(super) fn assign(
    members: &[&Subscriber],
    topics: &[SubscribedTopic<'_>],
) -> Vec<Vec<TopicPartition>> {
    let (pools, mut links) = pools_of(topics);
    let mut owners = current_owners(members, topics, &pools, &mut links);
    let supply = pools
        .iter()
        .map(|pool| pool.topics.iter().map(|t| topics[*t].partitions).sum())
        .collect();
    share_out(&mut links, supply, members.len());
    for pool in &pools {
        pool.give_up(&links, &mut owners);
        pool.hand_out(&links, &mut owners);
    }
    let mut owned = vec![Vec::new(); members.len()];
    for (topic, owners) in topics.iter().zip(owners) {
        for (n, link) in owners.into_iter().enumerate() {
            if let Some(link) = link {
                owned[links[link].member].push(topic.partition(n));
            }
        }
    }
    owned
}

/// The link by which each partition of each topic is owned, if it is.
type Owners = Vec<Vec<Option<usize>>>;

/// Topics of the same subscribers.
struct Pool {
    /// Numbers of the topics, rising.
    topics: Vec<usize>,
    /// Its links are numbered from here, in the order of its subscribers.
    first_link: usize,
    subscribers: usize,
}

fn pools_of(topics: &[SubscribedTopic<'_>]) -> (Vec<Pool>, Vec<Link>) {
    let mut pools: Vec<Pool> = Vec::new();
    let mut links = Vec::new();
    let mut numbers = HashMap::new();
    for (t, topic) in topics.iter().enumerate() {
        let n = *numbers.entry(&topic.subscribers).or_insert_with(|| {
            let n = pools.len();
            pools.push(Pool {
                topics: Vec::new(),
                first_link: links.len(),
                subscribers: topic.subscribers.len(),
            });
            links.extend(topic.subscribers.iter().map(|member| Link {
                pool: n,
                member: *member,
                current: 0,
                share: 0,
            }));
            n
        });
        pools[n].topics.push(t);
    }
    (pools, links)
}

/// The current owner of each partition, as far as it may still have it. Counts it in `links`.
fn current_owners(
    members: &[&Subscriber],
    topics: &[SubscribedTopic<'_>],
    pools: &[Pool],
    links: &mut [Link],
) -> Owners {
    let mut owners: Owners = topics.iter().map(|t| vec![None; t.partitions]).collect();
    let numbers = numbers_of(topics);
    let mut first_links = vec![0; topics.len()];
    for pool in pools {
        for topic in &pool.topics {
            first_links[*topic] = pool.first_link;
        }
    }
    for (member, subscriber) in members.iter().enumerate() {
        for claimed in &subscriber.current {
            let Some(topic) = numbers.get(&claimed.topic) else {
                continue;
            };
            let Ok(at) = topics[*topic].subscribers.binary_search(&member) else {
                continue;
            };
            let owner = usize::try_from(claimed.partition)
                .ok()
                .and_then(|n| owners[*topic].get_mut(n));
            if let Some(owner @ None) = owner {
                let link = first_links[*topic] + at;
                *owner = Some(link);
                links[link].current += 1;
            }
        }
    }
    owners
}

impl Pool {
    /// Takes from each member what it has beyond its share: from the topic of which it has most,
    /// and among equal topics from the one that was given up least.
    fn give_up(&self, links: &[Link], owners: &mut Owners) {
        let mut held: Vec<Vec<(usize, Vec<usize>)>> = vec![Vec::new(); self.subscribers];
        for topic in &self.topics {
            for (n, owner) in owners[*topic].iter().enumerate() {
                let Some(link) = *owner else { continue };
                if links[link].current <= links[link].share {
                    continue;
                }
                let held = &mut held[link - self.first_link];
                match held.last_mut() {
                    Some((last, partitions)) if last == topic => partitions.push(n),
                    _ => held.push((*topic, vec![n])),
                }
            }
        }
        let mut given_up: HashMap<usize, usize> = HashMap::new();
        for (at, held) in held.into_iter().enumerate() {
            let link = &links[self.first_link + at];
            let mut order: BinaryHeap<_> = held
                .into_iter()
                .map(|(topic, partitions)| {
                    let given_up = given_up.get(&topic).copied().unwrap_or(0);
                    (partitions.len(), Reverse((given_up, topic)), partitions)
                })
                .collect();
            for _ in link.share..link.current {
                let Some((_, Reverse((_, topic)), mut partitions)) = order.pop() else {
                    break;
                };
                if let Some(n) = partitions.pop() {
                    owners[topic][n] = None;
                }
                let given_up = given_up.entry(topic).or_default();
                *given_up += 1;
                order.push((partitions.len(), Reverse((*given_up, topic)), partitions));
            }
        }
    }

    /// Gives partitions without an owner to members below their shares: to the one that has least
    /// of the topic, and among equal members to the one that lacks most.
    fn hand_out(&self, links: &[Link], owners: &mut Owners) {
        let links = &links[self.first_link..self.first_link + self.subscribers];
        let mut lacking: Vec<(usize, usize)> = links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.share > link.current)
            .map(|(at, link)| (at, link.share - link.current))
            .collect();
        for topic in &self.topics {
            let owners = &mut owners[*topic];
            if owners.iter().all(Option::is_some) {
                continue;
            }
            let mut has = vec![0_usize; self.subscribers];
            for link in owners.iter().flatten() {
                has[link - self.first_link] += 1;
            }
            let mut order: BinaryHeap<_> = lacking
                .iter()
                .map(|(at, lacks)| (Reverse(has[*at]), *lacks, Reverse(*at)))
                .collect();
            for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
                let Some((Reverse(has), lacks, Reverse(at))) = order.pop() else {
                    break;
                };
                *owner = Some(self.first_link + at);
                if lacks > 1 {
                    order.push((Reverse(has + 1), lacks - 1, Reverse(at)));
                }
            }
            lacking = order
                .into_iter()
                .map(|(_, lacks, Reverse(at))| (at, lacks))
                .collect();
        }
    }
}
