//! `mq-topics verify`, and its repairs.

use serde_json::json;

use super::args::{PATIENCE, Repair, VerifyArgs};
use super::change::fail;
use crate::cli::output::{Rows, print_text};
use crate::cli::{Env, Outcome, consent};
use crate::client::{Admin, Verified};
use crate::error::{Error, Kind, Result};
use crate::types::{TopicName, TopicPartition};

/// Verifies, and repairs if asked.
pub fn verify(args: VerifyArgs, env: &mut Env) -> Result<Outcome> {
    let names = args.names.iter().map(|n| TopicName::new(n.as_str())).collect::<Result<Vec<_>>>()?;
    let admin = Admin::new(&env.open_store()?, PATIENCE);
    let names = if names.is_empty() { admin.list()? } else { names };
    let mut failed: Option<Kind> = None;
    let mut looked = Vec::new();
    let mut rows = Rows::new(&[
        "topic", "partition", "state", "segments", "batches", "records", "bytes", "file", "position", "finding",
    ]);
    for name in &names {
        let meta = match admin.metadata(name) {
            Ok(meta) => meta,
            Err(e) => {
                fail(env, &mut failed, &e);
                continue;
            }
        };
        for partition in &meta.partitions {
            let tp = TopicPartition::new(name.clone(), partition.partition);
            // A repair needs to know every damage.
            match admin.verify(&tp, args.deep || args.repair.is_some()) {
                Ok(verified) => {
                    enter(&mut rows, &verified);
                    looked.push(verified);
                }
                Err(e) => fail(env, &mut failed, &e),
            }
        }
    }
    rows.print(args.output, env)?;
    let damaged: Vec<&Verified> = looked.iter().filter(|verified| verified.is_damaged()).collect();
    if args.repair == Some(Repair::Truncate) {
        repair(&args, &admin, &damaged, &mut failed, env)?;
        return Ok(failed.map_or(Outcome::Done, Outcome::Failed));
    }
    if let Some(first) = damaged.first() {
        let what = damaged.iter().map(|verified| verified.tp.to_string()).collect::<Vec<_>>().join(", ");
        let kind = if damaged.iter().any(|v| v.findings.iter().any(|f| f.data)) { Kind::Damaged } else { Kind::Offline };
        return Err(Error::new(kind, format!("{what}: damaged or offline"))
            .cure(format!("'mq-topics verify --repair truncate {}' shows a plan and asks", first.tp.topic)));
    }
    Ok(failed.map_or(Outcome::Done, Outcome::Failed))
}

fn enter(rows: &mut Rows, verified: &Verified) {
    let state = match verified.offline {
        Some(crate::store::Offline::SyncFailed) => "offline (a sync failed)",
        Some(_) => "offline",
        None if verified.is_damaged() => "damaged",
        None => "ok",
    };
    let row = |file: serde_json::Value, position: serde_json::Value, what: serde_json::Value| {
        vec![
            json!(verified.tp.topic.as_str()),
            json!(verified.tp.partition),
            json!(state),
            json!(verified.covered.segments),
            json!(verified.covered.batches),
            json!(verified.covered.records),
            json!(verified.covered.bytes),
            file,
            position,
            what,
        ]
    };
    if verified.findings.is_empty() {
        rows.push(row(json!(null), json!(null), json!(null)));
    }
    for finding in &verified.findings {
        rows.push(row(json!(finding.file.display().to_string()), json!(finding.position), json!(finding.what)));
    }
}

fn repair(
    args: &VerifyArgs,
    admin: &Admin,
    damaged: &[&Verified],
    failed: &mut Option<Kind>,
    env: &mut Env,
) -> Result<()> {
    if damaged.is_empty() {
        env.note("nothing needs a repair");
        return Ok(());
    }
    let mut plan = String::new();
    for verified in damaged {
        let lost = verified.log_end - verified.sound_end;
        let what = if lost > 0 {
            format!("ends at offset {} instead of {}: {lost} offsets are cut, their bytes kept beside the log", verified.sound_end, verified.log_end)
        } else {
            format!("keeps all records, up to offset {}", verified.log_end)
        };
        plan.push_str(&format!("{} {what}\n", verified.tp));
    }
    if args.consent.dry_run {
        return print_text(plan.as_bytes());
    }
    for line in plan.lines() {
        env.say(line);
    }
    let names = damaged.iter().map(|verified| verified.tp.to_string()).collect::<Vec<_>>().join(", ");
    consent::ask(args.consent, &format!("repair {names} as said above"), env)?;
    for verified in damaged {
        match admin.repair(&verified.tp) {
            Ok((page, cuts)) => {
                env.note(&format!("{} is repaired, and ends at offset {}", verified.tp, page.tail.end));
                for cut in cuts {
                    let kept = cut.kept.as_ref().map_or_else(
                        || "all zeros, not kept".to_owned(),
                        |kept| format!("kept in {}", kept.display()),
                    );
                    env.note(&format!("cut {} bytes of {} from byte {}: {} ({kept})", cut.bytes, cut.file.display(), cut.position, cut.why));
                }
            }
            Err(e) => fail(env, failed, &e),
        }
    }
    Ok(())
}
