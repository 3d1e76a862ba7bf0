-- Headers and bodies of a message that this landing has inserted.
INSERT INTO message_bodies (message_id, tenant_id, headers, body_text, body_html)
VALUES (%(message_id)s, %(tenant_id)s, %(headers)s, %(body_text)s, %(body_html)s)
