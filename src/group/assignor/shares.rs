//! How many partitions each member gets: the flow of least cost from pools of partitions to
//! members.
//!
//! A member pays L for its next partition when it has L already, and the sum of that is least when
//! members are as even as their subscriptions allow. Among such flows, the one that moves the
//! fewest partitions is best. Successive shortest paths of minimum-cost flow find it: each
//! partition in turn is sent along a path that costs least, first in load, then in moves. A path
//! may lead back over a link, which takes a partition away again from the member that it was given
//! to.
//!
//! Invariant: the partitions sent so far have the best flow for their number, so no cycle of links
//! can save a move, and searches end.

use std::collections::VecDeque;

/// A member may have partitions of a pool.
pub(super) struct Link {
    pub(super) pool: usize,
    pub(super) member: usize,
    /// How many it has now; any beyond are moves.
    pub(super) current: usize,
    /// How many it gets.
    pub(super) share: usize,
}

/// Sets the share of each link, so that pool P gives out all of its `supply[P]`. Each pool has a
/// link, and no two links join the same pool and member. Members are numbered below `members`.
pub(super) fn share_out(links: &mut [Link], supply: Vec<usize>, members: usize) {
    let pools = supply.len();
    let nodes = pools + members;
    let mut links_of = vec![Vec::new(); nodes];
    for (n, link) in links.iter_mut().enumerate() {
        link.share = 0;
        links_of[link.pool].push(n);
        links_of[pools + link.member].push(n);
    }
    let mut flow = Flow {
        links,
        links_of,
        pools,
        load: vec![0; members],
        distance: vec![UNREACHED; nodes],
        next: vec![0; nodes],
        reached: Vec::new(),
        queued: vec![false; nodes],
        move_cost: 2 * nodes as i64,
        supply,
    };
    let mut sources: Vec<usize> = (0..pools).collect();
    loop {
        sources.retain(|pool| flow.supply[*pool] > 0);
        if sources.is_empty() {
            return;
        }
        flow.search(&sources);
        let Some(nearest) = flow.nearest() else {
            return;
        };
        for source in &sources {
            // A source that is nearer by way of another pool begins no path here.
            if flow.distance[*source] == 0 {
                while flow.supply[*source] > 0 && flow.send(*source, nearest) {}
            }
        }
    }
}

const UNREACHED: i64 = i64::MAX;

/// What a member would cost: its load, then the moves on the way to it.
type Cost = (usize, i64);

/// Nodes are the pools, then the members.
struct Flow<'a> {
    links: &'a mut [Link],
    links_of: Vec<Vec<usize>>,
    pools: usize,
    /// What each pool has left to give out.
    supply: Vec<usize>,
    /// How many partitions each member has been given.
    load: Vec<usize>,
    /// From the nearest source: moves times `move_cost`, plus the links on the way.
    distance: Vec<i64>,
    /// Which of a node's links a path takes next: those before it lead to no member.
    next: Vec<usize>,
    reached: Vec<usize>,
    /// Whether a search still has to continue from the node.
    queued: Vec<bool>,
    /// More than the links of any path, so that a move outweighs them.
    move_cost: i64,
}

impl Flow<'_> {
    /// Measures how far each node is from the nearest of `sources` that leads to it.
    fn search(&mut self, sources: &[usize]) {
        for node in self.reached.drain(..) {
            self.distance[node] = UNREACHED;
            self.next[node] = 0;
        }
        let mut queue: VecDeque<usize> = sources.iter().copied().collect();
        for source in sources {
            self.distance[*source] = 0;
            self.queued[*source] = true;
            self.reached.push(*source);
        }
        while let Some(node) = queue.pop_front() {
            self.queued[node] = false;
            for at in 0..self.links_of[node].len() {
                let Some((head, length)) = self.step(node, at) else {
                    continue;
                };
                let distance = self.distance[node] + length;
                if distance >= self.distance[head] {
                    continue;
                }
                if self.distance[head] == UNREACHED {
                    self.reached.push(head);
                }
                self.distance[head] = distance;
                if !self.queued[head] {
                    self.queued[head] = true;
                    queue.push_back(head);
                }
            }
        }
    }

    /// The least that any member costs.
    fn nearest(&self) -> Option<Cost> {
        self.reached
            .iter()
            .filter_map(|node| self.cost(*node))
            .min()
    }

    /// What a partition sent to this node would cost; `None` for a pool.
    fn cost(&self, node: usize) -> Option<Cost> {
        let load = *self.load.get(node.checked_sub(self.pools)?)?;
        Some((load, self.distance[node].div_euclid(self.move_cost)))
    }

    /// Where a partition goes from `node` by the link at `at` of it, and how far that is.
    fn step(&self, node: usize, at: usize) -> Option<(usize, i64)> {
        let link = &self.links[self.links_of[node][at]];
        let (head, moves) = if node < self.pools {
            let moved = link.share >= link.current;
            (self.pools + link.member, i64::from(moved))
        } else if link.share > 0 {
            let moved = link.share > link.current;
            (link.pool, -i64::from(moved))
        } else {
            return None;
        };
        Some((head, moves * self.move_cost + 1))
    }

    /// Sends one partition from `source` to a member that costs `wanted`, along links that all lie
    /// on shortest paths. Returns whether there was such a path.
    fn send(&mut self, source: usize, wanted: Cost) -> bool {
        let mut path = Vec::new();
        let mut node = source;
        while self.cost(node) != Some(wanted) {
            let at = self.next[node];
            if at < self.links_of[node].len() {
                match self.step(node, at) {
                    Some((head, length)) if self.distance[head] == self.distance[node] + length => {
                        path.push(node);
                        node = head;
                    }
                    _ => self.next[node] += 1,
                }
            } else if let Some(before) = path.pop() {
                node = before;
                self.next[node] += 1;
            } else {
                return false;
            }
        }
        for tail in path {
            let link = &mut self.links[self.links_of[tail][self.next[tail]]];
            if tail < self.pools {
                link.share += 1;
            } else {
                link.share -= 1;
            }
        }
        self.load[node - self.pools] += 1;
        self.supply[source] -= 1;
        true
    }
}
