-- What providers allow a mailbox, as they document it, so that the share in use can be shown: view quota_shares.

-- A provider as in provider_lanes (protocol and host). Requests are requests on the wire, whatever a provider makes of
-- them; bytes are those of messages.
CREATE TABLE provider_quotas (
    provider text NOT NULL CHECK (provider <> ''),
    unit text NOT NULL CHECK (unit IN ('bytes', 'requests')),
    span interval NOT NULL CHECK (span BETWEEN '1 minute' AND '30 days'),
    amount bigint NOT NULL CHECK (amount > 0),
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (provider, unit, span)
);

INSERT INTO provider_quotas (provider, unit, span, amount, note) VALUES
('imap:imap.gmail.com', 'bytes', '1 day', 2500000000, '2,500 MB a day'),
('imap:imap.googlemail.com', 'bytes', '1 day', 2500000000, '2,500 MB a day');
