-- UUIDv7: the ids that people see, in the order of time (PostgreSQL has a function of its own only from 18 on).
-- A random UUID has version 4 and the right variant: milliseconds go in front, and 4 becomes 7 by two bits.
CREATE OR REPLACE FUNCTION new_uuid() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(
    set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(EPOCH FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
        52, 1), 53, 1),
    'hex')::uuid;
