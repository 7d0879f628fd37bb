//! Waits while bytes of a log are being moved or removed: a rewrite of unsynced bytes, a
//! truncation.
//!
//! A process that does that has a heartbeat, so readers wait as long as it continues. If the
//! process is dead, a process that may write finishes its work.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::partition::append::PartitionWriter;
use crate::partition::replica::Replica;
use crate::store::{Stillness, StoreDir, WriteProbe};
use crate::timing::LOCK_STOPPED_AFTER;

/// Between two checks.
const PAUSE: Duration = Duration::from_millis(5);
/// Checks between two tries to finish what a dead process began.
const POLLS_BETWEEN: u32 = 20;
/// A held lock shows that the process lives.
const LOCK_TIMEOUT: Duration = Duration::from_millis(1);

/// Waits until no bytes of the replica are being moved. `leads`: whether it is its partition's
/// leader, which any process may recover; a follower is recovered by its own daemon.
///
/// # Errors
/// [`Kind::Busy`] if the process that moves them makes no progress, and this one cannot finish its
/// work.
pub(crate) fn wait_until_settled(
    store: &Arc<StoreDir>,
    replica: &Replica,
    leads: bool,
) -> Result<()> {
    let clock = replica.clock();
    let mut served = WriteProbe::default();
    let reading = replica.holders_reading(&mut served);
    let mut still = Stillness::begin(reading, clock.monotonic());
    let mut observations = 0_u32;
    loop {
        let page = replica.read_page()?;
        if page.is_none_or(|page| !page.intent.moves_bytes()) {
            return Ok(());
        }
        observations += 1;
        if leads && observations.is_multiple_of(POLLS_BETWEEN) {
            let tp = replica.tp();
            let finished = PartitionWriter::open(store, tp, LOCK_TIMEOUT)
                .and_then(|mut writer| writer.make_ready());
            match finished {
                Ok(_) => return Ok(()),
                // Damage, an offline replica: the read itself says so.
                Err(e) if !e.kind().leaves_durable_readable() => return Err(e),
                Err(_) => {}
            }
        }
        let reading = replica.holders_reading(&mut served);
        if still.observe(reading, clock.monotonic()) >= LOCK_STOPPED_AFTER {
            let text = format!(
                "a process that died or is stopped began a repair of the log of {}",
                replica.tp()
            );
            return Err(Error::new(Kind::Busy, text)
                .cure("the next process that may write to the partition finishes it"));
        }
        clock.sleep(PAUSE);
    }
}
