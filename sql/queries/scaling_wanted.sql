-- How many runs are wanted, and why.
SELECT * FROM scaling_wanted
