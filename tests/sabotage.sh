#!/usr/bin/env bash
# Sabotage: takes one sync, lock, checksum, epoch check or bound out of the source at a time, and
# checks whether the suite turns red. A suite that stays green is worth nothing there.
#
#   tests/sabotage.sh [NAME...]    all of them, or those named (any part of the name will do)
#   tests/sabotage.sh --list [NAME...]
#                                  of each: its name, the file that it changes, and the test that has
#                                  to notice, with tabs between
#   tests/sabotage.sh --check      whether each applies to exactly one place of the source, no more
#
# Works on a copy of the tree, in SABOTAGE_DIR (default: a directory beside target/). Prints
# `caught` or `MISSED` for each and a closing count; ends with 1 if any is missed, does not apply
# to exactly one place, or does not build. About 20 seconds each.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=${SABOTAGE_DIR:-$root/target/sabotage}
wanted=("$@")
caught=0 missed=0 errors=0

# Whether this one is to be run.
is_wanted() {
  ((${#wanted[@]} == 0)) && return 0
  local part
  for part in "${wanted[@]}"; do
    [[ $1 == *"$part"* ]] && return 0
  done
  return 1
}

prepare() {
  mkdir -p "$work/tree" "$work/logs"
  local file
  while IFS= read -r -d '' file; do
    [[ -e $root/$file ]] || rm "$work/tree/$file"
  done < <(cd "$work/tree" && find . -type f -print0)
  # With the times of the originals, so that cargo builds only what was changed.
  (cd "$root" && git ls-files -z | xargs -0 cp --parents -pu -t "$work/tree")
  if [[ ! -d $work/target && -d $root/target/debug ]]; then
    mkdir -p "$work/target/debug"
    cp -a "$root/target/debug/"{deps,build,.fingerprint} "$work/target/debug/"
  fi
}

# Which binary has a family of tests: sets `which` (for cargo) and `prefix` (of its tests' names).
find_family() {
  local family=$1 path
  which=() prefix=
  if [[ $family == lib ]]; then
    which=(--lib)
  elif [[ -f $root/tests/$family/main.rs ]]; then
    which=(--test "$family")
  else
    for path in "$root"/tests/*/"$family"{.rs,/mod.rs}; do
      path=${path#"$root/tests/"}
      if [[ -f $root/tests/$path && -f $root/tests/${path%%/*}/main.rs ]]; then
        which+=(--test "${path%%/*}")
        prefix=$family::
      fi
    done
  fi
  ((${#which[@]} == 1 || ${#which[@]} == 2))
}

# sabotage NAME FILE OLD NEW FAMILY FILTER: FAMILY is a module of a test runner (tests/*/FAMILY.rs or
# tests/*/FAMILY/), a whole runner (tests/FAMILY/main.rs), or "lib".
sabotage() {
  local name=$1 file=$2 old=$3 new=$4 test=$5 filter=$6
  if [[ $list ]]; then
    is_wanted "$name" || return 0
    find_family "$test" || which=("no family '$test':")
    printf '%s\t%s\tcargo test %s %s\n' "$name" "$file" "${which[*]}" "$filter"
    return 0
  fi
  if [[ $check ]]; then
    local places
    places=$(OLD=$old perl -0777 -ne 'my $n = () = /\Q$ENV{OLD}\E/g; print $n' "$root/$file") || places=none
    if [[ $places != 1 ]]; then
      echo "ERROR   $name: the patch of $file applies in ${places:-0} places, not 1"
      errors=$((errors + 1))
    fi
    if ! find_family "$test"; then
      echo "ERROR   $name: not one family of tests is named $test"
      errors=$((errors + 1))
    fi
    return 0
  fi
  is_wanted "$name" || return 0
  local path=$work/tree/$file log="$work/logs/${name//[^a-z0-9]/-}.log"
  cp -p "$root/$file" "$path"
  if ! OLD=$old NEW=$new perl -0777 -i -pe \
    'my $n = s/\Q$ENV{OLD}\E/$ENV{NEW}/g; $n == 1 or die "in $n places, not 1\n"' "$path" 2>"$log"; then
    echo "ERROR   $name: the patch of $file does not apply: $(<"$log")"
    errors=$((errors + 1))
    cp "$root/$file" "$path"
    return 0
  fi
  touch "$path"
  local which prefix
  if ! find_family "$test"; then
    echo "ERROR   $name: not one family of tests is named $test"
    errors=$((errors + 1))
    cp "$root/$file" "$path"
    return 0
  fi
  local cargo=(cargo test --quiet --manifest-path "$work/tree/Cargo.toml" --target-dir "$work/target" "${which[@]}")
  if ! "${cargo[@]}" --no-run >"$log" 2>&1; then
    echo "ERROR   $name: does not build: $(grep -m1 '^error' "$log")"
    errors=$((errors + 1))
    cp "$root/$file" "$path"
    return 0
  fi
  # Those of the family that the filter lets through.
  local tests
  mapfile -t tests < <("${cargo[@]}" -- --list "$filter" 2>/dev/null | sed -n "s/^\($prefix.*\): test$/\1/p")
  if ((${#tests[@]} == 0)); then
    echo "ERROR   $name: $test has no test '$filter'"
    errors=$((errors + 1))
    cp "$root/$file" "$path"
    return 0
  fi
  local status=0
  timeout 300 "${cargo[@]}" -- --exact "${tests[@]}" >"$log" 2>&1 || status=$?
  if ((status == 124)); then
    echo "ERROR   $name: neither green nor red after 300 s ($test $filter)"
    errors=$((errors + 1))
  elif ((status == 0)); then
    echo "MISSED  $name ($test $filter)"
    missed=$((missed + 1))
  else
    echo "caught  $name ($test $filter)"
    caught=$((caught + 1))
  fi
  cp "$root/$file" "$path"
}

check= list=
case ${1-} in
  --check) check=yes ;;
  --list) list=yes wanted=("${@:2}") ;;
  -*)
    echo "sabotage: unknown option $1: see the head of $0" >&2
    exit 2
    ;;
  *) prepare ;;
esac

# --- syncs

sabotage "a group commit syncs no segment" src/partition/append/committer.rs \
  '            file.sync_data()
                .map_err(|e| Error::io("sync", join(&**dir, name), e))?;' \
  '            let _ = (name, file);' \
  crash stop_in_append

sabotage "a group commit syncs no names" src/partition/append/committer.rs \
  'if page.unsynced_names > 0 {' 'if page.unsynced_names > u64::MAX - 1 {' \
  crash stop_in_rolls

sabotage "a recovery counts no names" src/partition/recovery/replica_recovery.rs \
  'page.unsynced_names += 1;' 'page.unsynced_names += 0;' \
  crash stop_in_the_recovery_from_a_roll

sabotage "a rewrite of unsynced bytes does not sync its copies" src/log/unsynced_rewrite.rs \
  '        copy.sync_data().map_err(|e| sync_failed(&path, e))?;' '' \
  crash stop_in_rewrite

sabotage "a recovery after a reboot syncs nothing" src/partition/recovery/replica_recovery.rs \
  'fn sync_from(&self, segment: Offset) -> Result<()> {' \
  'fn sync_from(&self, segment: Offset) -> Result<()> {
        if segment >= 0 {
            return Ok(());
        }' \
  crash a_boot_that_lost_nothing

sabotage "a creator does not sync its replica" src/lifecycle/replica_creation.rs \
  '    dir.sync().map_err(error("sync"))?;' '' \
  crash stop_in_create

sabotage "creators lock a partition's replicas in the order of the assignment" \
  src/lifecycle/replica_creation.rs \
  '    plans.sort_by(|a, b| (&a.tp, a.broker).cmp(&(&b.tp, b.broker)));' \
  '    plans.sort_by(|a, b| a.tp.cmp(&b.tp));' \
  topics creators_of_one_topic

sabotage "a deletion forgets what the topic had retired" src/lifecycle/topics.rs \
  'retired.map(|gone| (gone.partition, gone.broker, gone.uuid))' \
  'retired.take(0).map(|gone| (gone.partition, gone.broker, gone.uuid))' \
  topics a_reassignment_is_begun

sabotage "the first user of a topic does not sync its name" src/partition/dir_sync.rs \
  'if known >= version {' 'if known >= version || version < u64::MAX {' \
  crash successor_in_add_partitions

sabotage "a failed sync is forgotten" src/partition/append/committer.rs \
  '            return self.sync_failed(&page, e);' '            let _ = e;' \
  crash an_error_at_every_operation

sabotage "a failed sync leaves no note" src/partition/replica.rs \
  'let _ = note.write_failed(&*file);' 'let _ = (&note, &file);' \
  failed_sync a_failed_sync

sabotage "a commit leaves no note" src/partition/append/committer.rs \
  '        note.write(held.file())
            .map_err(|e| self.sync_error("write", e))?;' '        let _ = note;' \
  failed_sync a_sync_whose_end_nobody_saw

sabotage "a rewrite of unsynced bytes that died is not done again" src/partition/recovery/decision.rs \
  'open_sync || found.copy_begun;' 'open_sync;' \
  lib recovery::decision

# --- locks

sabotage "no append lock" src/partition/replica.rs \
  '                .map_err(|e| self.page_error("lock", e))?;
            if locked {' \
  '                .map_err(|e| self.page_error("lock", e))?;
            if locked || self.clock.monotonic() > started {' \
  crowd in_memory

sabotage "verify reads behind an index without the lock" src/client/verify.rs \
  '    let Ok(held) = replica.lock(PROBE_TIMEOUT) else {
        return Ok(());
    };
    match held.page()? {' \
  '    let _ = PROBE_TIMEOUT;
    match replica.read_page()? {' \
  verify what_is_no_damage

sabotage "a broken holder of the fenced lock goes on" src/store/lock/fenced_lock/guard.rs \
  '        if self.holds()? {
            Ok(())' \
  '        if self.holds()? || self.n < u64::MAX {
            Ok(())' \
  lib fenced

# --- checksums

sabotage "the checksum of a batch is not checked" src/record/view.rs \
  'if crc32c::crc32c(covered) == self.header.crc {' \
  'if crc32c::crc32c(covered) == self.header.crc || self.header.crc != 0 {' \
  damage every_flipped_bit_of_a_segment

sabotage "the checksum of the page is not checked" src/partition/state_page.rs \
  '            || crc32fast::hash(raw.get(..CRC_AT)?) != crc' \
  '            || (crc32fast::hash(raw.get(..CRC_AT)?) != crc && crc == 0)' \
  damage every_flipped_bit_of_the_page

sabotage "the checksum of a topic file is not checked" src/store/json_file.rs \
  'if crc != format!("{:08x}", crc32fast::hash(body)).as_bytes() {' \
  'if crc.is_empty() {' \
  damage every_flipped_bit_of_the_topic_file

# --- epochs and generations

sabotage "the epoch of a batch is not held against the checkpoint" src/log/walk.rs \
  'if due != Some(header.leader_epoch) {' \
  'if due != Some(header.leader_epoch) && header.leader_epoch < 0 {' \
  damage every_flipped_bit_of_a_segment

sabotage "no seal where shown records are gone" src/partition/recovery/decision.rs \
  'let seal = lost || (!same_boot && (!found.every_message || found.replicated));' 'let seal = false;' \
  crash stop_in_append_never

sabotage "no seal after a reboot" src/partition/recovery/decision.rs \
  'let seal = lost || (!same_boot && (!found.every_message || found.replicated));' 'let seal = lost;' \
  crash what_a_reader_saw

sabotage "an epoch that may have been used is used again" src/partition/recovery/replica_recovery.rs \
  'next.leader_epoch = next.leader_epoch.max(self.expected.leader_epoch);' '' \
  crash successor_in_alter

sabotage "a checkpoint that was renamed is taken for synced" src/partition/recovery/replica_recovery.rs \
  'let synced = dir.sync().map_err(|e| log::sync_failed(dir.path(), e));
            return' \
  'let synced = Ok(());
            let _ = dir;
            return' \
  crash successor_in_lost_state_recovery

sabotage "an acknowledgement does not check the page" src/partition/append/confirm.rs \
  '    if let Some(why) = page.offline {
        let offline' \
  '    if let Some(why) = page.offline.filter(|_| page.generation == 0) {
        let offline' \
  failed_sync is_not_acknowledged

sabotage "a boot id counts for nothing" src/partition/recovery/replica_recovery.rs \
  '        if page.boot_id != self.expected.boot_id {
            return self.recover(Some(page));' \
  '        if page.boot_id != self.expected.boot_id && page.sequence == 0 {
            return self.recover(Some(page));' \
  reboot a_reboot

sabotage "a sync of offsets leaves no note" src/group/offsets_sync.rs \
  'if self.write(durable, len).is_err() {' 'if self.write(durable, 0).is_err() {' \
  shared_sync a_

sabotage "a note left by a sync of offsets is not read" src/group/offsets_sync.rs \
  'if found.is_some_and(|note| note.at_work > 0) {' 'if found.is_some_and(|note| note.at_work == u64::MAX) {' \
  shared_sync a_

sabotage "a lost note of a sync of offsets is none" src/group/offsets_sync.rs \
  'let made = write_note(store, &*file, 0, len)' 'let made = write_note(store, &*file, 0, len.min(0))' \
  promises a_lost_note

sabotage "a sync of offsets vouches for lines behind it" src/group/offsets_sync.rs \
  'let _ = self.write(len, 0);' 'let _ = self.write(log.len()?, 0);' \
  shared_sync commits_at_once_share

sabotage "notes of other logs stay" src/group/group_handle.rs \
  'offsets_sync::remove_notes(&self.guard, Some(&own_note))?;' 'let _ = offsets_sync::remove_notes;' \
  shared_sync what_is_left

# --- bounds

sabotage "readers are shown what is not durable" src/partition/state_page.rs \
  '            self.durable.offset
        } else {' \
  '            self.tail.end
        } else {' \
  crash what_an_open_reader_saw

sabotage "damage without a page is cut" src/log/recovery.rs \
  'if from.durable.is_none()
                && sound_behind' \
  'if from.durable.is_none() && base == Offset::MAX
                && sound_behind' \
  lib log::tests

sabotage "what is below durable is cut" src/log/recovery.rs \
  'if start.position > len {' 'if start.position > len && len == u64::MAX {' \
  damage every_file_cut_at_every_length

sabotage "a cut takes the place of an earlier one" src/log/recovery.rs \
  'dir.rename_new(unfinished, name)' 'dir.rename(unfinished, name)' \
  lib what_was_cut_before

sabotage "no limit on what records decompress to" src/record/compression.rs \
  'if self.buffer.len() > limit {' 'if self.buffer.len() > limit && bytes.is_empty() {' \
  lib record

# --- groups

sabotage "a partition is given up before its reader stopped" src/client/group_session/membership_thread/reconciliation.rs \
  'is_unread: holding.is_stopped || is_idle || self.ended.is_some(),' \
  'is_unread: holding.is_stopped || is_idle || self.ended.is_some() || holding.generation > 0,' \
  lib given_up_once_its_reader_has_stopped

sabotage "a partition that is still read is given up" src/client/group_session/membership_thread/giving_up.rs \
  'if !(found.is_late || found.is_unread && is_over) {' 'if !(found.is_late || is_over) {' \
  lib a_partition_is_kept_while

sabotage "a transfer under way does not keep the in-sync set" src/cluster/controller/leader_decision.rs \
  'is_moving: true, ..' 'is_moving: true, loses_followers: false, ..' \
  lib the_first_reason_decides

sabotage "an evictor does not probe again" src/group/membership.rs \
  'if state.members.contains_key(id) && member_file::probe(&*dir, *id)? == *reading {' \
  'if state.members.contains_key(id) && (member_file::probe(&*dir, *id)? == *reading || state.group_epoch >= 0) {' \
  lib hangs

sabotage "a commit does not check the owner" src/group/membership/commits.rs \
  'let is_own = me.owned.contains(&tp)' \
  'let is_own = (me.owned.contains(&tp) || me.epoch >= 0)' \
  lib membership::tests::reconciliation

sabotage "a commit may go back" src/group/membership/commits.rs \
  'committed.is_none_or(|committed| committed.offset <= entry.offset)' \
  'committed.is_none_or(|committed| committed.offset <= i64::MAX - entry.offset)' \
  paused_members writes_nothing_old

sabotage "a file that is opened later is taken for the one that was put" src/group/group_handle.rs \
  '        self.guard.step()?;
        Ok(open)' '        Ok(open)' \
  paused_members writes_nothing_old

sabotage "partitions wait for the command that works on another" src/cli/consume/exec.rs \
  'session.works_on(Some(self.generation));' '' \
  exec partitions_move

sabotage "a producer does not wait for its syncs" src/client/delivery/delivery_state.rs \
  'const ROLLS_AHEAD_MAX: u32 = 4;' 'const ROLLS_AHEAD_MAX: u32 = 40_000;' \
  machine faults_of_the_machine

sabotage "a count of flush.messages waits for flush.ms" src/client/delivery/delivery_state.rs \
  'let is_urgent = ticket.is_some() || is_count_reached(configs, &appended);' \
  'let is_urgent = ticket.is_some();' \
  promises a_count_of_flush_messages

sabotage "a commit does not read the group again" src/group/membership.rs \
  'if self.others_are_old || !is_current(&*dir, &*self.seen)? {' \
  'if self.others_are_old {' \
  lib membership

sabotage "a new owner does not read what is committed" src/client/group_session/membership_thread/reconciliation.rs \
  '        self.member.refresh_offsets()?;
        if self.options.to_end {' \
  '        if self.options.to_end {' \
  members members_come

sabotage "the member that starts a partition commits nothing" src/client/group_session/membership_thread/reconciliation.rs \
  'if self.options.commit != CommitWhen::Never {
                let starts' \
  'if self.options.commit == CommitWhen::OnExit {
                let starts' \
  members starting_at_the_end

sabotage "a torn line counts" src/group/offsets_line.rs \
  'if crc != format!("{:08x}", crc32fast::hash(text)).as_bytes() {' \
  'if crc.is_empty() {' \
  lib offsets_

sabotage "the line of a broken holder counts" src/group/offsets_state.rs \
  'if self.last_n.is_some_and(|last| last > line.n) {' \
  'if self.last_n.is_some_and(|last| last > line.n && last == u64::MAX) {' \
  lib group

sabotage "a new lock holder leaves no mark" src/group/group_handle.rs \
  'if last < guard.n() {' 'if last < guard.n() && guard.n() == u64::MAX {' \
  takeover taken_over

sabotage "a commit does not check whether its lock is still there" src/group/group_handle.rs \
  '            Err(_) => Err(Error::lost_lock(format!(' \
  '            Err(_) if n < u64::MAX => Ok(()),
            Err(_) => Err(Error::lost_lock(format!(' \
  takeover taken_over

sabotage "a commit is not synced" src/group/offsets_sync.rs \
  '        log.sync_data()?;' '' \
  offsets_log stopped_in_a_commit

sabotage "the name of offsets.log is not synced" src/group/group_handle.rs \
  'dir.sync().map_err(|e| Error::io("sync", dir.path(), e))?;' 'let _ = dir;' \
  offsets_log stopped_in_the_first_commit

sabotage "a watcher that slept goes on" src/group/membership.rs \
  'if seen.reading != reading || slept {' 'if seen.reading != reading || (slept && now.is_zero()) {' \
  lib hangs

sabotage "a static member loses its partitions at once" src/group/membership.rs \
  'reading == HeartbeatReading::Dead && member.instance_id.is_none();' 'reading == HeartbeatReading::Dead;' \
  members a_static_member

sabotage "what a pipe's reader did not take is committed" src/cli/consume/marks.rs \
  'unread().unwrap_or(0)' 'unread().map_or(0, |_| 0)' \
  members pipe

sabotage "a member counted as dead reads on" src/client/group_session.rs \
  'if is_same(&seen.file) || lock' 'if seen.member != Uuid([0; 16]) || is_same(&seen.file) || lock' \
  session counted_as_dead

sabotage "a reset does not search for members" src/group/live_members.rs \
  '    if members.is_empty() {' '    if members.len() < usize::MAX {' \
  offsets nothing_moves

# --- replicas

sabotage "a follower is not cut" src/partition/replication/follower/comparison.rs \
  'if to < own.tail.end {' 'if to < 0 {' \
  divergence a_leader_that_returns

sabotage "a page of another epoch counts" src/partition/state_page.rs \
  '&& self.leader_epoch == epoch
            && self.offline' '&& (self.leader_epoch == epoch || epoch >= 0)
            && self.offline' \
  divergence histories

sabotage "the high watermark does not wait for a joining replica" src/partition/replication/high_watermark.rs \
  'joining.contains(&replica.uuid)' '(joining.contains(&replica.uuid) && replica.broker < 0)' \
  divergence what_comes_while_a_follower_joins

sabotage "a producer at work gives up at once where all brokers are down" src/client/replicated.rs \
  'self.met_daemon = self.met_daemon || self.liveness.any_alive(partition);' \
  'self.met_daemon = self.liveness.any_alive(partition);' \
  operations outages

sabotage "a copy of a log directory is taken for the moved one" src/store/brokers/log_dir.rs \
  'Ok(claimed && claim_at(&registered_path(store, file))?.is_none())' \
  'Ok(claimed)' \
  operations moved

sabotage "a batch is sent again unasked" src/client/replicated.rs \
  '.is_some_and(|end| end > *offset)' '.is_some_and(|end| end > *offset && *offset < 0)' \
  fencing a_process_that_stood_still

sabotage "a new leader is taken to have every batch" src/client/replicated.rs \
  '.is_some_and(|end| end > *offset)' '.is_none_or(|end| end > *offset || *offset >= 0)' \
  fencing a_process_that_stood_still

sabotage "a truncation does not sync its page first" src/partition/recovery/truncate.rs \
  '        self.held.publish_synced(&mut page)?;
        self.finish_truncation' '        self.held.publish(&mut page)?;
        self.finish_truncation' \
  divergence the_follower_dies

sabotage "a follower does not sync what it copies" src/partition/replication/follower.rs \
  '        self.committer()?.commit(page.tail.end)?;' '        self.committer()?;' \
  divergence followers_copy

sabotage "a replica that is not in sync is elected" src/cluster/controller/causes.rs \
  'among == Among::All || p.meta.is_in_sync(*b)' 'among == Among::All || p.meta.leader >= 0' \
  lib controller::tests

sabotage "a controller that was superseded changes what it likes" src/cluster/controller/metadata_update.rs \
  'file.epoch == self.epoch' 'file.epoch >= self.epoch' \
  lib controller::tests

sabotage "a leader that lost records begins a new epoch" src/partition/replication/leadership.rs \
  '&& let Some(ahead) = extents.ahead_of(tp, partition, to)' \
  '&& let Some(ahead) = extents.ahead_of(tp, partition, to).filter(|id| *id < 0)' \
  divergence a_leader_that_lost_records

sabotage "segments are taken over before the old directory is surely aside" src/lifecycle/replace.rs \
  '            logs.sync()
                .map_err(|e| crate::log::sync_failed(logs.path(), e))?;
        }
        self.each_of' '        }
        self.each_of' \
  divergence the_process_that_recreates_it_dies

sabotage "after a reboot nobody recovers the followers" src/partition/first_use.rs \
  '    recover_followers(store, &reader)?;' '    let _ = recover_followers;' \
  divergence after_a_reboot

sabotage "the dead leave before the leader was probed" src/cluster/controller/step.rs \
  'if p.reign.view == LeaderView::Stands && !p.is_reported() {' \
  'if p.reign.view != LeaderView::Leaderless && !p.is_reported() {' \
  lib controller::tests

sabotage "what was known of a leader outlives its epoch" src/cluster/controller/partition.rs \
  '        self.reign = Reign::new(if same { failover } else { Failover::default() });' \
  '        self.reign.failover = if same { failover } else { Failover::default() };' \
  lib controller::tests

sabotage "a leader found useless still stands" src/cluster/controller/causes.rs \
  'if p.reign.view == LeaderView::Stands {' 'if p.reign.view == LeaderView::Stands && p.meta.leader < 0 {' \
  lib controller::tests

sabotage "leadership moves to a full disk" src/cluster/controller/causes.rs \
  'fail_over(cx, p, assessment, sealed, leaving, |has_room| has_room);' \
  'fail_over(cx, p, assessment, sealed, leaving, |has_room| has_room || !has_room);' \
  lib controller::tests

sabotage "a holder with a heartbeat counts as stopped" src/cluster/controller/failover_policy.rs \
  'let seen = (sequence, heartbeat);' 'let seen = (sequence, heartbeat.min(0));' \
  lib controller::tests

sabotage "a leader that is gone waits for no dead one that has more" src/cluster/controller/causes.rs \
  'dead.find(|b| assessment.is_ahead(p, *b, to))' 'dead.find(|b| assessment.is_ahead(p, *b, to) && *b < 0)' \
  lib controller::tests

sabotage "an epoch begins though a dead one in sync has more" src/partition/replication/leadership.rs \
  'if claim == Claim::Clean' 'if claim == Claim::Clean && epoch < 0' \
  promises no_epoch_begins

sabotage "a mover has no heartbeat for its seal" src/partition/replica.rs \
  'Heartbeat::start(Arc::clone(&self.page), MOVER_HEARTBEAT_AT)' \
  'Heartbeat::start(Arc::clone(&self.page), MOVER_HEARTBEAT_AT + 512)' \
  promises a_writer_leaves

sabotage "a move has two seconds, however near it comes" src/cluster/controller/approach.rs \
  '(self.smallest, self.since) = (Some(gap), now);' 'self.smallest = Some(gap);' \
  lib approach::tests

sabotage "a listing takes in what a killed roll left" src/partition/log_snapshot.rs \
  'segments.up_to(page.tail.active).since' 'segments.since' \
  lib a_segment_beyond_the_active_one

sabotage "damage is reported from an old snapshot" src/partition/read/reader.rs \
  'if !fresh {' 'if !fresh && bytes_max == 0 {' \
  promises a_reader_of_a_follower

sabotage "an offset behind damage is named untried" src/partition/read/reader.rs \
  'read.is_ok_and(|len| len > 0).then_some(offset)' 'Some(offset).filter(|_| read.is_ok() || page.tail.end >= 0)' \
  shell the_offset_behind_damage

sabotage "a reader does not hold the page against its files" src/partition/read/reader_state.rs \
  'if !self.page_fits()? {' 'if !self.page_fits()? && page.tail.end < 0 {' \
  promises records_of_a_lost_mount

sabotage "a follower's page is not held against its files" src/partition/first_use.rs \
  'matches!(page, Ok(Some(page)) if !is_believed(store, &page))' \
  'matches!(page, Ok(Some(page)) if !is_believed(store, &page) && tp.partition < 0)' \
  promises pages_older_than

sabotage "what is sound before damage is kept back" src/partition/read/scan.rs \
  'if scanned.used > scanned.before || at_end {' \
  'if (scanned.used > scanned.before && scanned.damage.is_none()) || at_end {' \
  promises sound_records_before

sabotage "epochs are in memory before their checkpoint" src/partition/recovery/replica_recovery.rs \
  '        self.write_epochs(page, &epochs)?;
        *self.epochs = epochs;
        Ok(())' \
  '        *self.epochs = epochs.clone();
        self.write_epochs(page, &epochs)' \
  promises a_follower_has_no_epoch

sabotage "a wait for a sync does not see its holder's heartbeat" src/store/lock/heartbeat.rs \
  'if self.heartbeat.observe(heartbeat, now) >= self.stopped_after {' 'if self.heartbeat.observe(0, now) >= self.stopped_after {' \
  promises syncs_of_seconds

sabotage "a removed sync.lock takes its note with it" src/partition/append/sync_lock.rs \
  '    let made = note
        .write(&*file)
        .and_then(|()| dir.rename_new(&temporary, SYNC_FILE));' \
  '    let _ = note;
    let made = dir.rename_new(&temporary, SYNC_FILE);' \
  promises a_sync_lock_that_is_removed

sabotage "a sync is published though its lock was replaced" src/partition/append/committer.rs \
  'if !self.sync.in_place()? {' 'if !self.sync.in_place()? && target < 0 {' \
  promises a_sync_lock_that_is_replaced

sabotage "a truncation forgets a sync whose end nobody saw" src/partition/append/commit_note.rs \
  'let before = matches!(page.intent, Intent::Truncate(_))' 'let before = matches!(page.intent, Intent::Roll(_))' \
  lib truncate::tests

sabotage "a roll empties a log that holds records" src/log/appender.rs \
  'if begins_with_a_batch(&*self.dir, next.active, None)? {' \
  'if begins_with_a_batch(&*self.dir, next.active, None)? && next.active < 0 {' \
  lib a_roll_never_empties

sabotage "an append has no heartbeat" src/partition/replica.rs \
  'heartbeat: Heartbeat::start(Arc::clone(&self.page), HEARTBEAT_AT),' \
  'heartbeat: Heartbeat::start(Arc::clone(&self.page), HEARTBEAT_AT + 1024),' \
  promises an_append_whose_write

sabotage "a recovery leaves no note of its syncs" src/partition/recovery/replica_recovery.rs \
  '                self.held
                    .note_recovery(next.generation, recovered.tail.end)?;' '' \
  promises a_recovery_that_died_in_its_sync

sabotage "an acknowledgement does not ask for the replica of its append" src/partition/append/confirm.rs \
  'if page.replica_uuid != appended.replica {' 'if page.replica_uuid != appended.replica && page.tail.end < 0 {' \
  lib confirm::tests

sabotage "a page is believed that does not fit its log" src/partition/end_of_files.rs \
  'if unasked || found.appends {' 'if unasked || found.appends || page.tail.end >= 0 {' \
  promises a_leaders_page_that_is_older

sabotage "a topic file names replicas that were removed meanwhile" src/lifecycle/unpublished_replica.rs \
  'Ok(found) => Ok(found == self.identity),' 'Ok(_) => Ok(true),' \
  lib what_is_removed_while_it_is_made

sabotage "a living maker counts as dead" src/lifecycle/maker_lock.rs \
  'Ok(!free.map_err(' 'Ok(maker == Uuid::ZERO && !free.map_err(' \
  lib a_living_makers_is_waited_for

sabotage "a proof that is on its way is not waited for" src/lifecycle/strays.rs \
  'store::gather_proofs(store, timeout)?;' 'let _ = timeout;' \
  lib a_proof_on_its_way

sabotage "a slow disk is given no more time than a quick one" src/store/brokers/slow_disks.rs \
  '(*after * 2).clamp(PAGE_READ_WITHIN, PAGE_READ_WITHIN_MAX)' '(*after * 2).clamp(PAGE_READ_WITHIN, PAGE_READ_WITHIN)' \
  lib a_disk_that_does_not_answer

sabotage "a broker that ends while the disk of the leader is away is out of sync" src/cluster/controller/failover_policy.rs \
  'Some(ReplicaSnapshot::Unreadable | ReplicaSnapshot::Failed) => true,' 'Some(ReplicaSnapshot::Unreadable) => true,' \
  lib who_ends_while_the_leaders

sabotage "a log is sealed by a page that does not fit it" src/partition/replication/seal.rs \
  'Some(page) => replica.end_of_files(page)? == Ordering::Equal,' 'Some(page) => page.tail.end >= 0,' \
  lib a_log_is_sealed_at_its_end

sabotage "an append does not ask whether its file has a name" src/disk/os/file.rs \
  'if stat.st_nlink == 0 {' 'if stat.st_nlink == 0 && stat.st_size < 0 {' \
  promises a_log_that_goes_under

sabotage "a search for strays misses a proof that came into its place meanwhile" src/lifecycle/strays.rs \
  '&& !store::is_deleted(store, ids.topic_id, ids.replica)?' '' \
  observer a_deletion_under_way

sabotage "a part of the watcher sleeps over what it was given" src/disk/watch/shared.rs \
  'is_some_and(Part::has_something) {' 'is_some_and(|part| part.sleeps) {' \
  lib a_part_does_not_sleep

sabotage "an alter waits no longer for slow disks than a daemon" src/lifecycle/topics.rs \
  'InSync::patient(store, timeout)' 'InSync::new(store)' \
  promises a_change_of_many

sabotage "a short append is an unknown outcome" src/disk/os/file.rs \
  'Err(rustix::io::Errno::NOSPC.into())' 'Err(io::ErrorKind::WriteZero.into())' \
  promises a_commit_that_fits

sabotage "a lock's holder leaves no directory to the next one" src/store/lock/fenced_lock/guard.rs \
  'let _ = self.dir.rename(&own, &self.spare_dir());' 'let _ = self.dir.remove_dir(&own);' \
  promises a_topic_is_deleted_from_a_disk_with_nothing_left

sabotage "a follower that is taken out joins again at once" src/cluster/replication/partition_fetch.rs \
  '(self.pause * 2).clamp(WAIT_MIN, WAIT_MAX)' 'Duration::ZERO' \
  promises a_follower_that_is_taken_out_again_and_again

sabotage "a file of a group's store keeps the mode of the umask" src/disk/os/shared.rs \
  'if access.is_shared() && access.group == group {' 'if access.group < u32::MAX {' \
  promises a_store_without_acls_is_shared_too

sabotage "a join by a broker held for dead is not probed again" src/cluster/controller/step.rs \
  'p.due.again_by(now + JOIN_WITHIN);' '' \
  lib who_is_about_to_join

sabotage "what ends the headers of a template may stand across a field's end" src/cli/lang/ambiguity.rs \
  '(0..=of_field.count()).any(|within| {' '(0..=of_field.count().min(0)).any(|within| {' \
  lib templates_that_are_accepted

sabotage "segments go before the log start is on disk" src/partition/log_start/prepared.rs \
  'replica.sync_page_and_names(timeout)?;
        remove_below' 'remove_below' \
  log stop_in_trim

sabotage "no checkpoint of the log start" src/partition/log_start/prepared.rs \
  'placed => placed?,' 'placed => { placed?; let _ = recovery.held.replica().dir().remove(crate::log::LOG_START_FILE); }' \
  log stop_in_lost_state_recovery_after_a_trim

sabotage "a start that was not published is not adopted" src/partition/recovery/replica_recovery.rs \
  '(first || is_other_boot) && self.adopt_log_start(&mut page)?' 'false && first && is_other_boot' \
  log stop_in_trim

sabotage "the durable place stays in a segment that goes" src/partition/log_start/prepared.rs \
  'if moves_place {' 'if moves_place && self.to < 0 {' \
  log stop_in_trim

sabotage "what a new log start lies in is not durable" src/partition/log_start/raise.rs \
  'if page.durable.offset < to {' 'if to < 0 {' \
  log stop_in_trim_never

sabotage "a value goes before its successor is durable" src/partition/compaction/limits.rs \
  '.min(page.durable.segment)' '' \
  lib a_pass_ends_before_the_least_of_its_bounds

sabotage "a value goes before its successor is committed" src/partition/compaction/limits.rs \
  '.min(page.high_watermark)' '' \
  lib a_pass_ends_before_the_least_of_its_bounds

sabotage "a swap begins no generation" src/partition/compaction/swap.rs \
  'page.begin_generation(UnseenSync::None);
        held.publish(&mut page)?;
        let done = work();
        page.begin_generation(UnseenSync::None);' 'held.publish(&mut page)?;
        let done = work();' \
  log a_pass_leaves_the_last_value_of_each_key

sabotage "a page from before a swap comes back" src/partition/compaction/pass.rs \
  'self.replica.sync_page_and_names(self.timeout)?;
        let Mapped' 'let Mapped' \
  log a_pass_may_end_at_each_operation

sabotage "a rewritten segment is put in place before it is on disk" src/log/compaction/rewrite.rs \
  'file.sync_data()
            .map_err(|e| not_synced(&join(self.dir, &name), e))?;' 'let _ = (&file, &name);' \
  log a_pass_may_end_at_each_operation

sabotage "a deletion goes too early" src/log/compaction/retention.rs \
  'now >= horizon' 'now >= horizon - 1_000' \
  log a_deletion_stays_for_its_time

sabotage "a deletion goes by a clock that jumped" src/partition/compaction/pass.rs \
  'Ok(is_believed.then_some(now.wall_ms))' 'Ok(Some(now.wall_ms))' \
  log no_deletion_goes_by_a_clock_that_jumped

sabotage "a deletion goes while a damaged segment may hold what it deletes" src/partition/compaction/pass.rs \
  'is_older_compacted = false;' 'is_older_compacted = true;' \
  log a_damaged_segment_stays

sabotage "what a compaction could not read counts as compacted" src/partition/compaction/pass.rs \
  'covered.min(first_damaged.unwrap_or(covered))' 'covered' \
  log a_damaged_segment_stays

sabotage "nothing but the page knows that deletions are gone" src/partition/compaction/swap.rs \
  'if deletions_gone > 0 {' 'if deletions_gone < 0 {' \
  log a_deletion_stays_for_its_time

sabotage "a log that was cut counts as compacted beyond its end" src/partition/compaction/checkpoints.rs \
  'if replica.cleaned_to()? <= end {' 'if replica.cleaned_to()? <= end || end >= 0 {' \
  log a_log_that_is_cut_is_not_compacted_beyond

sabotage "a batch without records crosses the start of a segment that is joined" src/log/compaction/rewrite.rs \
  'output.flush_filler()?;
        let file = if' 'let file = if' \
  lib the_last_value_of_each_key_is_left

sabotage "a follower that lacks deletions goes on" src/partition/replication/follower/comparison.rs \
  'end < leaders_gone.max(own.deletions_gone)' 'end < 0 && leaders_gone == 0' \
  promises a_follower_that_missed_deletions

sabotage "a replica that is cut below what was compacted goes on" src/partition/replication/follower/comparison.rs \
  'let is_cut = end < own.tail.end &&' 'let is_cut = end < 0 &&' \
  promises a_replica_cut_below_what_was_compacted

sabotage "a follower within a joined filler waits for ever" src/partition/replication/follower_append.rs \
  '!header.is_filler() || header.base_offset >= end' 'header.base_offset >= 0' \
  promises a_follower_that_was_away

sabotage "a follower shows what lies below its leader's start" src/partition/replication/follower/log_start.rs \
  'page.tail.log_start < self.leaders_start && page.high_watermark <= page.tail.log_start' 'page.sequence == 0' \
  divergence a_replica_that_is_made_again_shows

sabotage "a follower beyond its leader's start copies on" src/partition/replication/follower.rs \
  'if next != end {' 'if next < end {' \
  cluster histories_of_rising_log_starts

sabotage "epochs that the leader forgot have no end" src/log/divergence.rs \
  'None if oldest > Some(*epoch) && leader_start > 0 => return limit.min(leader_start),' '' \
  lib of_older_epochs_the_leaders_start_is_the_answer

sabotage "a replacement that was not finished stays so" src/partition/replication/follower/comparison.rs \
  'if page.offline != Some(Offline::Removed) || !self.replica.in_place()? {' 'if page.sequence > 0 {' \
  cluster the_process_that_finishes_dies_too

sabotage "a target leads whose log starts lower" src/cluster/controller/leadership_transfer.rs \
  '.filter(starts_there)' '' \
  lib a_target_whose_log_starts_lower

sabotage "a log that begins again keeps the epochs of what it held" src/partition/replication/follower/comparison.rs \
  '*epochs = LeaderEpochs::default();' '' \
  divergence histories_of_rising_log_starts

sabotage "a wall clock that jumped ages records" src/partition/clock_note.rs \
  'if by_ms <= AHEAD_MAX_MS {' 'if by_ms < i64::MAX {' \
  log a_clock_that_jumps_removes_nothing

sabotage "the first pass of a boot acts" src/partition/clock_note.rs \
  'ClockTrust::First if passed < FIRST_FOR_MS => {' 'ClockTrust::First if passed < 0 => {' \
  log a_clock_that_jumps_removes_nothing

sabotage "the clock note of another boot counts" src/partition/state_page.rs \
  'self.clock = ClockNote::default();' '' \
  log a_clock_that_jumps_removes_nothing

sabotage "retention goes beyond the high watermark" src/partition/retention/plan.rs \
  'if segment.end > facts.removable_to {' 'if segment.end > facts.removable_to && facts.now_ms < 0 {' \
  lib nothing_goes_above_the_high_watermark

sabotage "an append keeps old records" src/partition/append/writer.rs \
  'must_roll || has_expired(&self.store, configs, &page, header.max_timestamp)' 'must_roll' \
  promises without_a_daemon_old_records_go

sabotage "a daemon makes no pass" src/cluster/maintenance/maintained_partition.rs \
  'self.is_in_order() && self.retention.is_due(now)' 'now.is_zero() && self.retention.is_due(now)' \
  promises a_daemon_removes_what_is_old

sabotage "a producer that rolls makes no pass" src/client/ledger.rs \
  'for_passes.push((ticket.partition, appended.rolled));' 'for_passes.push((ticket.partition, false));' \
  promises by_size_a_log_keeps_its_limit

sabotage "an alter removes without consent" src/cli/topics/change.rs \
  'if !removals.is_empty() && !is_dry_run {
        let consent' 'if removals.len() > 1000 && !is_dry_run {
        let consent' \
  promises an_alter_by_which_records_fall_due

sabotage "a topic with a limit stays in the old format" src/lifecycle/topics.rs \
  'if configs.need_newer_format() {' 'if configs.need_newer_format() && timeout.is_zero() {' \
  promises an_alter_by_which_records_fall_due

sabotage "a record of the future is taken" src/partition/append/writer.rs \
  'if append_time.is_none() && configs.bound_timestamps() {' 'if append_time.is_some() && configs.bound_timestamps() {' \
  promises a_record_too_far_from_the_present

sabotage "what a killed pass left stays" src/partition/retention/pass.rs \
  'if planned.due.is_empty() && planned.left_behind > 0 {' 'if planned.due.is_empty() && planned.left_behind > 1000 {' \
  log what_a_killed_pass_left

[[ $list ]] && exit
echo "sabotage: $((caught + missed + errors)) cases, $caught caught, $missed missed, $errors errors"
((missed == 0 && errors == 0))
