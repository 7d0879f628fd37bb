//! Readers beside killed rolls, lost mounts, new epochs and damage.
