create or replace trigger payments_moves after update on payments
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('payment', 'logged');

create or replace trigger payments_birth after insert on payments
    referencing new table as new_rows
    for each statement execute function log_birth('payment');
