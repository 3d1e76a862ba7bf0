-- How many messages can be found.
SELECT count(*) AS messages FROM message_search
