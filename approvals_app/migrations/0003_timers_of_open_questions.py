from django.db import migrations

# What waits already gets its timer; where its end was announced before, a day passes until the first reminder.
SET_TIMERS = """
    UPDATE approvals_app_approval a SET next_timer_at = CASE WHEN EXISTS (
        SELECT FROM approvals_app_approvalevent e WHERE e.approval_id = a.id AND e.type = 'approval_timeout')
        THEN greatest(a.due_at, clock_timestamp()) + interval '24 hours' ELSE a.due_at END
    WHERE a.status = 'PENDING' AND a.next_timer_at IS NULL AND a.due_at IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("approvals_app", "0002_people")]

    operations = [migrations.RunSQL(SET_TIMERS, migrations.RunSQL.noop)]
