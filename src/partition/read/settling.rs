//! Waiting while bytes of a log are being moved or taken away: a copy of unsynced records, a truncation.
//!
//! A process that does that beats, so it is waited for as long as that takes. Where its process is
//! dead, who may write finishes it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::partition::append::PartitionWriter;
use crate::partition::replica::Replica;
use crate::store::{Stillness, StoreDir, WriteProbe};
use crate::timing::LOCK_STOPPED_AFTER;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Looks between two tries to finish what a dead process began.
const LOOKS_BETWEEN: u32 = 20;
/// A lock that is held tells that the process lives.
const LOCK_TIMEOUT: Duration = Duration::from_millis(1);

/// Waits until no bytes of the replica are being moved. `leads`: whether it is its partition's leader,
/// which any process may put in order; a follower's own daemon does that.
///
/// # Errors
/// [`Kind::Busy`] if the process that moves them stands still, and this one cannot finish it.
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
        if leads && observations.is_multiple_of(LOOKS_BETWEEN) {
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
                "a repair of the log of {} was begun by a process that died or is stopped",
                replica.tp()
            );
            return Err(Error::new(Kind::Busy, text)
                .cure("the next process that may write to the partition finishes it"));
        }
        clock.sleep(PAUSE);
    }
}
