//! Ways to choose what a power cut leaves: all of them, or some at random.

/// Runs `run` once for every way to choose, and returns how many there were. Panics beyond `most`.
pub fn every_choice(most: usize, run: impl FnMut(&mut dyn FnMut(usize) -> usize)) -> usize {
    match first_choices(most, run) {
        (runs, true) => runs,
        (_, false) => panic!("more than {most} ways to choose"),
    }
}

/// Runs `run` for the first `most` ways to choose: how many ran, and whether those were all.
pub fn first_choices(
    most: usize,
    mut run: impl FnMut(&mut dyn FnMut(usize) -> usize),
) -> (usize, bool) {
    // The choices made so far, each with the number there was to choose from.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for runs in 1..=most {
        let mut depth = 0;
        run(&mut |n| {
            if depth == path.len() {
                path.push((0, n));
            }
            let (chosen, of) = path[depth];
            assert_eq!(of, n, "a run must depend on nothing but its choices");
            depth += 1;
            chosen
        });
        while path.last().is_some_and(|&(chosen, of)| chosen + 1 >= of) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return (runs, true),
        }
    }
    (most, false)
}

/// Random choices, the same for the same seed (SplitMix64).
pub fn seeded(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |n| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}
