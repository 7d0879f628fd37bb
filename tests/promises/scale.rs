//! Commands over topics of thousands of partitions take linear time.
