//! temp
use super::job::GroupJob;
use super::marks::Marks;
use super::assign::Assignments;
use crate::cli::Env;
use crate::client::point::PointRange;
use crate::error::*;
use crate::store::*;
use crate::types::*;
use std::sync::Arc;
use std::time::Duration;
#[derive(Debug)]
pub struct Session { pub marks: Marks }
impl Session {
    pub fn join(_s: &Arc<StoreDir>, _g: &GroupJob, _e: &Env) -> Result<Self> { Ok(Session { marks: Marks::default() }) }
    pub fn start_of(&mut self, _tp: &TopicPartition, _t: &TopicHandle, _r: &PartitionReader, _p: &Page, _range: PointRange, _first: bool, _e: &Env) -> Result<Offset> { Ok(0) }
    pub fn commit_now_and_then(&mut self, _a: &Assignments, _e: &Env) -> Result<()> { Ok(()) }
    pub fn patience(&self, p: Duration, _e: &Env) -> Duration { p }
    pub fn end(self, _a: &Assignments, _w: u64, _good: bool, _c: bool, _e: &Env) -> Result<()> { Ok(()) }
}
