-- What an asset found now. Two of them at the same moment are one.
INSERT INTO health_history (asset, tenant_id, numbers) VALUES (%(asset)s, %(tenant_id)s, %(numbers)s)
ON CONFLICT (asset, tenant_id, at) DO UPDATE SET numbers = EXCLUDED.numbers
