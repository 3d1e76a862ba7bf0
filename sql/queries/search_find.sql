-- Find messages of one tenant by their words.
SELECT * FROM search_messages(%(query)s, %(mailbox)s, %(limit)s, %(tenant)s)
