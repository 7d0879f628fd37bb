//! The only member of its group.
//!
//! Until members share a group's partitions, one process at a time is let in: who joins while the
//! member that `group.json` names is alive is refused, naming its process.

use std::sync::Arc;
use std::time::Duration;

use super::group_file::{Member, TopicPartitions};
use super::held::Group;
use super::member_file::{self, MemberFile};
use super::offsets_line::{Entry, LineKind};
use super::offsets_state::{Committed, OffsetsState};
use crate::error::{Error, Kind, Result};
use crate::store::StoreDir;
use crate::store::process::Process;
use crate::types::{PartitionId, TopicName, Uuid};

/// Membership of a group that has no other member. Dropping it without [`LoneMember::leave`] is
/// as a crash: the next to join finds it dead.
#[derive(Debug)]
pub struct LoneMember {
    group: Group,
    file: MemberFile,
    epoch: i32,
    notes: Vec<String>,
}

impl LoneMember {
    /// Joins the group, which is made if it is missing. `topics` is what was subscribed to,
    /// `assignment` the partitions that are read; `patience` bounds each wait for the group's
    /// lock, not one for the other member.
    ///
    /// # Errors
    /// [`Kind::Busy`] naming the process of the member it has already; [`Kind::Usage`] for a name
    /// that cannot be a group's.
    pub fn join(
        store: &Arc<StoreDir>,
        group: &str,
        topics: Vec<String>,
        assignment: Vec<TopicPartitions>,
        patience: Duration,
    ) -> Result<Self> {
        let mut group = Group::open_or_create(store, group, patience)?;
        let dir = Arc::clone(group.dir());
        let file = MemberFile::create(&*dir, &**store.clock())?;
        let name = group.name().to_owned();
        let mut held = group.hold("join the group")?;
        if let Some(other) = held.alive()?.first() {
            let error = has_member(&name, other);
            remove_own(&held, &file);
            return Err(error);
        }
        let mut contents = held.group_file()?;
        let epoch = held.next_epoch(&contents)?;
        let process = Process::current(&**store.clock());
        contents.group_epoch = epoch;
        contents.members = vec![Member {
            member_id: file.id(),
            instance_id: None,
            member_epoch: epoch,
            pid: process.pid,
            host: process.host.clone(),
            topics,
            assignment,
        }];
        member_file::remove_dead(&*dir, held.guard())?;
        held.put_group_file(&contents)?;
        file.mark_entered()?;
        if held.state().is_deleted() {
            // The group is in use again.
            held.write(
                LineKind::Live,
                Some(file.id().to_string()),
                epoch,
                Vec::new(),
            )?;
        } else {
            drop(held);
        }
        let notes = group.notes();
        Ok(LoneMember {
            group,
            file,
            epoch,
            notes,
        })
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.file.id()
    }

    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// What was wrong with the group's files when it joined, but no reason to stop.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The offset committed for a partition of the topic with that id, as of the last commit.
    pub fn committed(
        &self,
        topic: &TopicName,
        topic_id: Uuid,
        partition: PartitionId,
    ) -> Option<Committed> {
        self.group.state().committed(topic, topic_id, partition)
    }

    /// Whether anything was ever committed, since the group was made or deleted, for a topic of
    /// that name.
    pub fn knows_topic(&self, topic: &TopicName) -> bool {
        self.group.state().knows_topic(topic)
    }

    /// All offsets.
    pub fn offsets(&self) -> &OffsetsState {
        self.group.state()
    }

    /// Raises the heartbeat; due every few seconds.
    pub fn heartbeat(&mut self) -> Result<()> {
        self.file.beat()?;
        if self.group.is_live_due()? {
            let held = self.group.hold("say that the group is in use")?;
            held.write_live_if_due(self.file.id(), self.epoch)?;
        }
        Ok(())
    }

    /// Says which partitions are read from now on.
    ///
    /// # Errors
    /// As [`LoneMember::commit`].
    pub fn assign(&mut self, assignment: Vec<TopicPartitions>) -> Result<()> {
        let (id, epoch) = (self.file.id(), self.epoch);
        let mut held = self.group.hold("assign partitions")?;
        let mut contents = held.group_file()?;
        let found = contents
            .members
            .iter_mut()
            .find(|member| member.member_id == id && member.member_epoch == epoch);
        let Some(member) = found else {
            return Err(fenced(id, epoch));
        };
        member.assignment = assignment;
        held.put_group_file(&contents)
    }

    /// Commits: up to there the output was written out. Durable when it returns.
    ///
    /// # Errors
    /// [`Kind::Fenced`] (FENCED_MEMBER_EPOCH) if the group has this member no more;
    /// [`Kind::Unknown`] if it is perhaps committed; [`Kind::Busy`], [`Kind::DiskFull`]: it is
    /// not.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<()> {
        self.file.beat()?;
        if entries.is_empty() {
            return Ok(());
        }
        let (id, epoch) = (self.file.id(), self.epoch);
        let mut held = self.group.hold("commit offsets")?;
        if held.group_file()?.member(id, epoch).is_none() {
            return Err(fenced(id, epoch));
        }
        held.write(
            LineKind::Commit,
            Some(id.to_string()),
            epoch,
            entries.to_vec(),
        )?;
        Ok(())
    }

    /// Leaves the group.
    pub fn leave(mut self) -> Result<()> {
        let id = self.file.id();
        let mut held = self.group.hold("leave the group")?;
        let mut contents = held.group_file()?;
        if contents.member(id, self.epoch).is_some() {
            contents.group_epoch = held.next_epoch(&contents)?;
            contents.members.retain(|member| member.member_id != id);
            held.put_group_file(&contents)?;
        }
        remove_own(&held, &self.file);
        Ok(())
    }
}

/// Removes the file of a member that is not in the group, or no more.
fn remove_own(held: &super::held::Held<'_>, file: &MemberFile) {
    // Left where it fails: the next to join finds it unlocked and removes it.
    let _ = held
        .guard()
        .rename_in(&crate::store::layout::member_file(&file.id()));
}

fn has_member(group: &str, member: &Member) -> Error {
    Error::new(
        Kind::Busy,
        format!(
            "group '{}' has a member already: process {} on {}",
            group.escape_debug(),
            member.pid,
            member.host.escape_debug()
        ),
    )
    .cure("end that process, or read with another group")
}

fn fenced(id: Uuid, epoch: i32) -> Error {
    Error::new(
        Kind::Fenced,
        format!("FENCED_MEMBER_EPOCH: member {id} is not in the group any more with epoch {epoch}"),
    )
    .cure("start it again: it goes on from the committed offsets")
}

#[cfg(test)]
pub(crate) mod tests;
