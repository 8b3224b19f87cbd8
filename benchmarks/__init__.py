"""Speed, measured side by side in one run: `make bench`. The ratios count, the machine does not."""
