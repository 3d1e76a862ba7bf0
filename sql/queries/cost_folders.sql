-- The slowest folders by their numbers.
SELECT f.tenant, f.mailbox, f.provider, f.folder_id, f.attempts, f.failed_attempts, f.messages::bigint AS messages,
    f.seconds::double precision AS seconds, f.seconds_per_1000_messages::double precision AS seconds_per_1000_messages,
    f.bytes_per_second::double precision AS bytes_per_second, f.read_share::double precision AS read_share
FROM folder_speed AS f
WHERE f.messages > 0
ORDER BY f.seconds_per_1000_messages DESC, f.folder_id LIMIT %(limit)s
