//! Acknowledged, shown, durable: receipts, and configs that change under open programs.
