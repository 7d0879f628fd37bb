//! What the tools use of consumer groups: members, offsets, changes of them.

pub use crate::group::{
    Assignor, CommandFile, CommitEntry, GroupDescription, Line, LineKind, MemberDescription,
    Naming, OffsetChange, OffsetDescription, OffsetsState, Subscription, alter_configs,
    check_config_name, check_config_value, clone_offsets, commit, committed_offsets, config_names,
    configs, delete, delete_offsets, describe, findings, history, list, list_all, plan_undo, reset,
    summarize, undo, unknown,
};
