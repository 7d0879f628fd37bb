//! A work queue: three threads share the jobs of a topic; a job that no thread finished runs again.
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mq::{NewTopic, Record, Store};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let store = Store::open(scratch.path().join("store"))?;
    store.admin().ensure_topic(NewTopic::new("jobs"))?;
    let producer = store.producer("jobs").open()?;
    for job in 0..30 {
        producer.send(&format!("job {job}"))?;
    }
    // With `manual` the program marks each job as done, in any order.
    let mut queue = store.group("workers").topics(["jobs"]).manual().open()?;
    let (hand_out, jobs) = mpsc::sync_channel::<Record>(3);
    let (done, finished) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..3 {
        let (jobs, done) = (Arc::clone(&jobs), done.clone());
        let next = move || jobs.lock().ok()?.recv().ok();
        std::thread::spawn(move || {
            std::iter::from_fn(next).try_for_each(|job| done.send(job.id()))
        });
    }
    let mut count = 0;
    while count < 30 {
        if let Some(job) = queue.try_next(Duration::from_millis(10)) {
            hand_out.send(job?)?;
        }
        for job in finished.try_iter() {
            queue.done(&job)?; // An error means that another member now has the partition and its jobs.
            count += 1;
        }
    }
    assert!(queue.commit()?.to_string().ends_with(":0=30"));
    Ok(queue.close()?)
}
