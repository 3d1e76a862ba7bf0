-- The moment before which a thing is past its retention; NULL when it is kept for ever.
SELECT expired_before(%(what)s) AS moment
