-- The moment it is, by the clock that everything else goes by.
SELECT clock() AS now
