//! What the tools use of consumer groups: members, offsets, changes of them.

pub use crate::group::{
    Assignor, CommandFile, CommitEntry, Committed, GroupDescription, Line, LineKind,
    MemberDescription, Naming, OffsetChange, OffsetCheck, OffsetDescription, OffsetsState,
    Subscription, alter_configs, beyond, check_config_name, check_config_value, check_offset,
    clone_offsets, commit, committed_offsets, config_names, configs, delete, delete_offsets,
    describe, findings, history, list, list_all, plan_undo, reset, summarize, undo, unknown,
};
