//! The controller's role, decided: no I/O, no clock.
//!
//! 1. `controller.lock` shows a controller's death, the epoch in `controller.json` its authority.
//! 2. A daemon that finds the named controller dead takes the lock, then the next epoch.
//! 3. A named controller, or a stranger holding the lock of a dead one, is superseded if it showed
//!    no change for 2 s of unbroken watching: by the next epoch, without the lock.
//! 4. A daemon that has the lock but finds a live controller of another name releases the lock.
//! 5. A controller that finds a higher epoch than its own is the controller no longer.

use std::time::Duration;

use crate::timing::{BROKER_STOPPED_AFTER, BROKER_WATCH_BREAK};
use crate::types::BrokerId;

/// One daemon's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Me {
    /// Its broker.
    pub broker_id: BrokerId,
    /// Its incarnation.
    pub incarnation: u64,
}

/// The daemon that `controller.json` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The epoch.
    pub epoch: u64,
    /// The daemon.
    pub who: Me,
    /// Its heartbeat, if exactly that incarnation holds its broker's lock and it did not resign.
    pub alive: Option<u64>,
}

/// What a probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleView {
    /// The daemon that is named.
    pub named: Option<Named>,
    /// Whether this daemon has `controller.lock`.
    pub lock_ours: bool,
}

/// The heartbeat that a candidate watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedHeartbeat {
    named: Option<Named>,
    since: Duration,
    observed: Duration,
}

/// A daemon's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerRole {
    /// Another daemon is the controller, or there is none yet.
    Standby(Option<WatchedHeartbeat>),
    /// This daemon is the controller, in that epoch.
    Active(u64),
    /// Ended.
    Stopped,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionEvent {
    /// A probe.
    Observed(RoleView),
    /// A claim was written, with that epoch.
    Claimed(u64),
    /// A claim came too late: the file has another daemon's epoch.
    Lost,
    /// The daemon ends.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionEffect {
    /// Try to take `controller.lock`, and probe again on success.
    TakeLock,
    /// Release it.
    GiveLockBack,
    /// Under the fenced lock: if the epoch is still that, write the next one with this daemon's
    /// name.
    Claim(Option<u64>),
    /// Report that this daemon is the controller.
    Elected(u64),
    /// Report that this daemon is superseded by that epoch.
    Superseded(u64),
    /// Under the fenced lock: if the epoch is still that, mark it as resigned.
    Resign(u64),
}

/// Decides.
pub fn step(
    me: Me,
    role: ControllerRole,
    event: ElectionEvent,
    now: Duration,
) -> (ControllerRole, Vec<ElectionEffect>) {
    match (role, event) {
        (ControllerRole::Stopped, _) => (ControllerRole::Stopped, Vec::new()),
        (ControllerRole::Active(epoch), ElectionEvent::Stop) => (
            ControllerRole::Stopped,
            vec![ElectionEffect::Resign(epoch), ElectionEffect::GiveLockBack],
        ),
        (ControllerRole::Standby(_), ElectionEvent::Stop) => {
            (ControllerRole::Stopped, vec![ElectionEffect::GiveLockBack])
        }
        (ControllerRole::Active(epoch), ElectionEvent::Observed(view)) => active(me, epoch, view),
        (ControllerRole::Standby(watched), ElectionEvent::Observed(view)) => {
            standby(me, watched, view, now)
        }
        (ControllerRole::Standby(_), ElectionEvent::Claimed(epoch)) => (
            ControllerRole::Active(epoch),
            vec![ElectionEffect::Elected(epoch)],
        ),
        (ControllerRole::Standby(_), ElectionEvent::Lost) => {
            (ControllerRole::Standby(None), Vec::new())
        }
        // An active controller claims nothing.
        (role @ ControllerRole::Active(_), ElectionEvent::Claimed(_) | ElectionEvent::Lost) => {
            (role, Vec::new())
        }
    }
}

fn active(me: Me, epoch: u64, view: RoleView) -> (ControllerRole, Vec<ElectionEffect>) {
    match view.named {
        Some(named) if named.epoch == epoch && named.who == me => {
            let effects = if view.lock_ours {
                vec![]
            } else {
                vec![ElectionEffect::TakeLock]
            };
            (ControllerRole::Active(epoch), effects)
        }
        named => {
            let by = named.map_or(epoch, |named| named.epoch);
            (
                ControllerRole::Standby(None),
                vec![ElectionEffect::GiveLockBack, ElectionEffect::Superseded(by)],
            )
        }
    }
}

fn standby(
    me: Me,
    watched: Option<WatchedHeartbeat>,
    view: RoleView,
    now: Duration,
) -> (ControllerRole, Vec<ElectionEffect>) {
    let unbroken = watched.filter(|seen| {
        seen.named == view.named && now.saturating_sub(seen.observed) <= BROKER_WATCH_BREAK
    });
    let since = unbroken.map_or(now, |seen| seen.since);
    let role = ControllerRole::Standby(Some(WatchedHeartbeat {
        named: view.named,
        since,
        observed: now,
    }));
    let still = now.saturating_sub(since) >= BROKER_STOPPED_AFTER;
    let epoch = view.named.map(|named| named.epoch);
    // Another incarnation of this broker is dead: this daemon has its lock.
    let alive = view
        .named
        .is_some_and(|n| n.alive.is_some() && n.who.broker_id != me.broker_id);
    let effects = match (alive, still, view.lock_ours) {
        (_, true, _) | (false, _, true) => vec![ElectionEffect::Claim(epoch)],
        (false, false, false) => vec![ElectionEffect::TakeLock],
        (true, false, true) => vec![ElectionEffect::GiveLockBack],
        (true, false, false) => vec![],
    };
    (role, effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Me = Me {
        broker_id: 1,
        incarnation: 4,
    };
    const OTHER: Me = Me {
        broker_id: 2,
        incarnation: 9,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn view(named: Option<(u64, Me, Option<u64>)>, lock_ours: bool) -> RoleView {
        let named = named.map(|(epoch, who, alive)| Named { epoch, who, alive });
        RoleView { named, lock_ours }
    }

    fn observe(
        role: ControllerRole,
        view: RoleView,
        at: u64,
    ) -> (ControllerRole, Vec<ElectionEffect>) {
        step(ME, role, ElectionEvent::Observed(view), ms(at))
    }

    #[test]
    fn the_first_takes_the_lock_then_the_epoch() {
        let (role, effects) = observe(ControllerRole::Standby(None), view(None, false), 0);
        assert_eq!(effects, [ElectionEffect::TakeLock]);
        let (role, effects) = observe(role, view(None, true), 1);
        assert_eq!(effects, [ElectionEffect::Claim(None)]);
        let (role, effects) = step(ME, role, ElectionEvent::Claimed(1), ms(2));
        assert_eq!(
            (role, effects),
            (ControllerRole::Active(1), vec![ElectionEffect::Elected(1)])
        );
        let (role, effects) = observe(role, view(Some((1, ME, Some(7))), true), 500);
        assert_eq!((role, effects), (ControllerRole::Active(1), vec![]));
        let (role, effects) = step(ME, role, ElectionEvent::Stop, ms(600));
        assert_eq!(role, ControllerRole::Stopped);
        assert_eq!(
            effects,
            [ElectionEffect::Resign(1), ElectionEffect::GiveLockBack]
        );
    }

    #[test]
    fn a_live_controller_is_left_alone_and_gets_its_lock_back() {
        let mut role = ControllerRole::Standby(None);
        for heartbeat in 0..20 {
            let seen = view(Some((5, OTHER, Some(heartbeat))), false);
            let (next, effects) = observe(role, seen, heartbeat * 500);
            assert_eq!(effects, []);
            role = next;
        }
        let (_, effects) = observe(role, view(Some((5, OTHER, Some(99))), true), 10_000);
        assert_eq!(effects, [ElectionEffect::GiveLockBack]);
    }

    #[test]
    fn a_hung_one_is_superseded_only_after_unbroken_watching() {
        let seen = view(Some((5, OTHER, Some(3))), false);
        let (role, _) = observe(ControllerRole::Standby(None), seen, 0);
        let (role, effects) = observe(role, seen, 1000);
        assert_eq!(effects, []);
        // This watcher was suspended: nothing is known of the time between.
        let (role, effects) = observe(role, seen, 9000);
        assert_eq!(effects, []);
        let (role, effects) = observe(role, seen, 10_000);
        assert_eq!(effects, []);
        let (role, effects) = observe(role, seen, 11_000);
        assert_eq!(effects, [ElectionEffect::Claim(Some(5))]);
        let (role, effects) = step(ME, role, ElectionEvent::Lost, ms(11_001));
        assert_eq!((role, effects), (ControllerRole::Standby(None), vec![]));
    }

    #[test]
    fn a_dead_one_is_followed_at_once_or_past_a_hung_lock_holder() {
        let seen = view(Some((5, OTHER, None)), false);
        let (role, effects) = observe(ControllerRole::Standby(None), seen, 0);
        assert_eq!(effects, [ElectionEffect::TakeLock]);
        let (role, effects) = observe(role, seen, 1000);
        assert_eq!(effects, [ElectionEffect::TakeLock]);
        let (_, effects) = observe(role, seen, 2000);
        assert_eq!(effects, [ElectionEffect::Claim(Some(5))]);
        let own_past = view(
            Some((
                5,
                Me {
                    incarnation: 3,
                    ..ME
                },
                None,
            )),
            true,
        );
        assert_eq!(
            observe(ControllerRole::Standby(None), own_past, 0).1,
            [ElectionEffect::Claim(Some(5))]
        );
    }

    #[test]
    fn who_woke_up_late_is_no_controller() {
        let (role, effects) = observe(
            ControllerRole::Active(5),
            view(Some((6, OTHER, Some(1))), true),
            0,
        );
        assert_eq!(role, ControllerRole::Standby(None));
        assert_eq!(
            effects,
            [ElectionEffect::GiveLockBack, ElectionEffect::Superseded(6)]
        );
    }
}
