%% SPDX-License-Identifier: Apache-2.0
%% @doc The hot path: a request to a helper's port and what becomes of it.
%%
%% It runs in the calling process and sends no message to any other: the
%% request goes to the port by `port_control', and the answer comes back as its
%% result, or as a message to a reference made for this one request, which a
%% selective receive finds in constant time.  Whatever happens, nothing of a
%% request is left in the caller's mailbox.
%% A port's `DOWN' says `process' if the reason of its end is no atom (as of OTP 25).
-module(py_request).

-export([request/6, resume/4, await/4, start/6, finish/5, submit/4, collect/4]).
-export([deadline/1, left/1]).

-export_type([deadline/0, limits/0, outcome/0]).

-include("py_wire.hrl").

-compile({inline, [op/2]}).

%% Requests up to this size are copied once and cost one call to the driver;
%% larger ones cost two, and their binaries are not copied.
-define(SMALL, 65536).
%% How long the driver may take, beyond the grace, to keep its promises.
-define(MARGIN, 5000).

-type deadline() :: timeout() | {deadline, integer()}.
%% Relative, or a point in monotonic milliseconds.

-type limits() :: {MaxFrame :: pos_integer(), GraceMs :: non_neg_integer()
                                            | {non_neg_integer(), #{wall := timeout(), _ => _}}}.
%% `wall': no request may take longer, whatever its caller says.

-type outcome() ::
    {answer, byte(), binary()}
    %% the helper's answer; opcode 0: what `fail/2' was given
  | {callback, Id :: binary(), Body :: binary(), deadline()}
    %% Python waits for a function: run it and `resume/4', or `await/4' if its time
    %% is up
  | {timeout, none | {byte(), binary()}}
    %% the time was up; what the request said as it was ended
  | {lost, term()}
    %% submitted, then the port closed
  | {refused, binary()}
  | {too_large, pos_integer(), pos_integer()}
  | down.
    %% not submitted: the helper is gone

%% @doc Submit a request and wait for what becomes of it.
-spec request(port(), byte(), byte(), term(), deadline(), limits()) -> outcome().
request(Port, Opcode, Flags, Term, Timeout, {Max, {Grace, #{wall := Wall}}}) ->
    request(Port, Opcode, Flags, Term, sooner(Timeout, Wall), {Max, Grace});
request(Port, Opcode, Flags, Term, Timeout, {Max, _} = Limits) ->
    %% An upper bound, and far cheaper than an I/O vector that is not needed.
    case erlang:external_size(Term) of
        Size when Size < ?SMALL, Size =< Max ->
            small(Port, op(Opcode, Flags), term_to_binary(Term), Timeout, Limits);
        _ ->
            pending(Port, vectored(Port, Opcode, Flags, Term, Timeout, Limits), Limits)
    end.

%% @doc Submit a request, and wait no longer than until it is accepted: what
%% follows is for `finish/5', or it is there at once.
-spec start(port(), byte(), byte(), term(), deadline(), limits()) ->
    {pending, Id :: binary(), deadline()} | outcome().
start(Port, Opcode, Flags, Term, Timeout, {Max, {Grace, #{wall := Wall}}}) ->
    start(Port, Opcode, Flags, Term, sooner(Timeout, Wall), {Max, Grace});
start(Port, Opcode, Flags, Term, Timeout, {Max, _} = Limits) ->
    case erlang:external_size(Term) of
        Size when Size < ?SMALL, Size =< Max ->
            submitted(Port, op(Opcode, Flags), term_to_binary(Term), Timeout);
        _ ->
            vectored(Port, Opcode, Flags, Term, Timeout, Limits)
    end.

pending(Port, {pending, Id, Deadline}, Limits) -> await(Port, Id, Deadline, Limits);
pending(_, Outcome, _) -> Outcome.

vectored(Port, Opcode, Flags, Term, Timeout, {Max, _}) ->
    IoVec = erlang:term_to_iovec(Term),
    case iolist_size(IoVec) of
        Size when Size > Max -> {too_large, Size, Max};
        Size when Size < ?SMALL -> submitted(Port, op(Opcode, Flags), IoVec, Timeout);
        _ -> large(Port, <<Opcode, Flags>>, IoVec, Timeout)
    end.

%% The command that submits a request.
op(Opcode, Flags) ->
    Flags bsl 8 bor Opcode.

small(Port, Op, Body, Timeout, Limits) ->
    case py_port:control(Port, Op, Body) of
        <<?REPLY_RESULT, _/binary>> = Answer ->
            {answer, ?FRAME_RESULT, Answer};
        <<?REPLY_ANSWER, Opcode, Answer/binary>> ->
            {answer, Opcode, Answer};
        <<?REPLY_PENDING, Id:8/binary>> ->
            await(Port, Id, Timeout, Limits);
        Other ->
            pending(Port, not_answered(Port, Op, Body, Timeout, Other), Limits)
    end.

submitted(Port, Op, Body, Timeout) ->
    case py_port:control(Port, Op, Body) of
        <<Kind, _/binary>> = Reply when Kind =:= ?REPLY_RESULT; Kind =:= ?REPLY_ANSWER ->
            answer(Reply);
        <<?REPLY_PENDING, Id:8/binary>> ->
            {pending, Id, deadline(Timeout)};
        Other ->
            not_answered(Port, Op, Body, Timeout, Other)
    end.

not_answered(_, _, _, Timeout, <<?REPLY_CALLBACK, Id:8/binary, Asked/binary>>) ->
    {callback, Id, Asked, deadline(Timeout)};
not_answered(Port, Op, Body, Timeout, <<?REPLY_BUSY>>) ->
    Retry = fun(Deadline) -> submitted(Port, Op, Body, Deadline) end,
    when_ready(Port, deadline(Timeout), Retry);
not_answered(_, _, _, _, Other) ->
    not_taken(Other).

large(Port, Head, IoVec, Timeout) ->
    case py_port:control(Port, ?OP_RESERVE, Head) of
        <<?REPLY_PENDING, Id:8/binary>> ->
            command(Port, Id, Head, IoVec, Timeout);
        <<?REPLY_NESTED, Id:8/binary>> ->
            case py_port:command(Port, [Id | IoVec], force) of
                true -> {pending, Id, deadline(Timeout)};
                _ -> down
            end;
        <<?REPLY_BUSY>> ->
            Retry = fun(Deadline) -> large(Port, Head, IoVec, Deadline) end,
            when_ready(Port, deadline(Timeout), Retry);
        Other ->
            not_taken(Other)
    end.

%% Between the reservation and the command another caller may have filled the
%% port: then we give the reservation back and queue like everybody else.
command(Port, Id, Head, IoVec, Timeout) ->
    case py_port:command(Port, [Id | IoVec], nosuspend) of
        true ->
            {pending, Id, deadline(Timeout)};
        down ->
            down;
        false ->
            _ = py_port:control(Port, ?OP_CANCEL_CALL, Id),
            Retry = fun(Deadline) -> large(Port, Head, IoVec, Deadline) end,
            when_ready(Port, deadline(Timeout), Retry)
    end.

not_taken(<<?REPLY_REFUSED, Text/binary>>) -> {refused, Text};
not_taken(_) -> down.

%% @doc Answer a request's callback: what becomes of the request is for
%% `await/4' or `finish/5', or it is there at once.
-spec resume(port(), binary(), {binary(), byte(), binary()}, deadline()) ->
    {pending, Id :: binary(), deadline()} | outcome().
resume(Port, Id, {Number, Opcode, Etf}, Deadline) ->
    case py_port:control(Port, ?OP_RESUME, [Id, Number, Opcode, Etf]) of
        <<?REPLY_RESULT, _/binary>> = Answer -> {answer, ?FRAME_RESULT, Answer};
        <<?REPLY_CALLBACK, Id:8/binary, Asked/binary>> -> {callback, Id, Asked, Deadline};
        <<?REPLY_PENDING, Id:8/binary>> -> {pending, Id, Deadline};
        <<?REPLY_ANSWER, _/binary>> = Reply -> answer(Reply);
        _ -> {lost, gone}
    end.

%% @doc Wait for what `start/6' began, by a process that has nothing else to do,
%% and is told `owner_died' when this monitor fires: then the request has been
%% given up.
-spec finish(port(), binary(), deadline(), limits(), reference()) -> outcome() | owner_died.
finish(Port, Id, Deadline, Limits, Owner) ->
    Ref = erlang:monitor(port, Port),
    case py_port:control(Port, ?OP_ATTACH, [Id, term_to_binary(Ref)]) of
        <<?REPLY_OK>> -> watch(Port, Id, Ref, Deadline, Limits, Owner);
        Reply -> attached(Reply, Id, Ref, Deadline)
    end.

watch(Port, Id, Ref, Deadline, Limits, Owner) ->
    receive
        {py_answer, Ref, Opcode, Body} ->
            _ = erlang:demonitor(Ref, [flush]),
            told(Opcode, Body, Id, Deadline);
        {'DOWN', Ref, _, _, Reason} ->
            {lost, Reason};
        {'DOWN', Owner, process, _, _} ->
            _ = erlang:demonitor(Ref, [flush]),
            _ = py_port:control(Port, ?OP_CANCEL_CALL, Id),
            owner_died
    after left(Deadline) ->
        give_up(Port, Id, Ref, Limits)
    end.

told(?FRAME_CALLBACK, Asked, Id, Deadline) -> {callback, Id, Asked, Deadline};
told(Opcode, Body, _, _) -> {answer, Opcode, Body}.

%% @doc Submit a small request and do not wait: a ticket for `collect/4', or
%% what became of it at once.  Of a caller that never collects, the answer
%% stays in its mailbox.
-spec submit(port(), byte(), byte(), term()) ->
    {ticket, reference(), binary()} | {answer, byte(), binary()} | busy | {refused, binary()} |
    down.
submit(Port, Opcode, Flags, Term) ->
    case py_port:control(Port, op(Opcode, Flags), term_to_binary(Term)) of
        <<?REPLY_PENDING, Id:8/binary>> ->
            Ref = erlang:monitor(port, Port),
            case py_port:control(Port, ?OP_ATTACH, [Id, term_to_binary(Ref)]) of
                <<?REPLY_OK>> ->
                    {ticket, Ref, Id};
                <<Kind, _/binary>> = Reply when Kind =:= ?REPLY_RESULT; Kind =:= ?REPLY_ANSWER ->
                    _ = erlang:demonitor(Ref, [flush]),
                    answer(Reply);
                _ ->
                    _ = erlang:demonitor(Ref, [flush]),
                    down
            end;
        <<?REPLY_BUSY>> -> busy;
        <<Kind, _/binary>> = Reply when Kind =:= ?REPLY_RESULT; Kind =:= ?REPLY_ANSWER ->
            answer(Reply);
        Other -> not_taken(Other)
    end.

%% @doc Wait for what `submit/4' began, or `resume/5'.
-spec collect(port(), {ticket, reference(), binary()} | outcome(), deadline(), limits()) ->
    outcome().
collect(Port, {ticket, Ref, Id}, Timeout, Limits) ->
    Deadline = deadline(Timeout),
    receive
        {py_answer, Ref, ?FRAME_CALLBACK, Asked} ->
            _ = erlang:demonitor(Ref, [flush]),
            {callback, Id, Asked, Deadline};
        {py_answer, Ref, Opcode, Body} ->
            _ = erlang:demonitor(Ref, [flush]),
            {answer, Opcode, Body};
        {'DOWN', Ref, _, _, Reason} ->
            {lost, Reason}
    after left(Deadline) ->
        give_up(Port, Id, Ref, Limits)
    end;
collect(_, Outcome, _, _) ->
    Outcome.

%% @doc Wait for what becomes of a request; if its time is up, end it.
%%
%% The reference is made, handed over and waited for in this one function: that
%% is what lets the compiler skip the messages that were there before it.
-spec await(port(), binary(), deadline(), limits()) -> outcome().
await(Port, Id, Timeout, Limits) ->
    Deadline = deadline(Timeout),
    Ref = erlang:monitor(port, Port),
    case py_port:control(Port, ?OP_ATTACH, [Id, term_to_binary(Ref)]) of
        <<?REPLY_OK>> ->
            receive
                {py_answer, Ref, ?FRAME_CALLBACK, Asked} ->
                    _ = erlang:demonitor(Ref, [flush]),
                    {callback, Id, Asked, Deadline};
                {py_answer, Ref, Opcode, Body} ->
                    _ = erlang:demonitor(Ref, [flush]),
                    {answer, Opcode, Body};
                {'DOWN', Ref, _, _, Reason} ->
                    {lost, Reason}
            after left(Deadline) ->
                give_up(Port, Id, Ref, Limits)
            end;
        Reply ->
            attached(Reply, Id, Ref, Deadline)
    end.

%% What there is to say was there before we asked.
attached(<<?REPLY_CALLBACK, Id:8/binary, Asked/binary>>, Id, Ref, Deadline) ->
    _ = erlang:demonitor(Ref, [flush]),
    {callback, Id, Asked, Deadline};
attached(<<Kind, _/binary>> = Reply, _, Ref, _)
  when Kind =:= ?REPLY_RESULT; Kind =:= ?REPLY_ANSWER ->
    _ = erlang:demonitor(Ref, [flush]),
    answer(Reply);
attached(_, _, Ref, _) ->
    lost(Ref).

answer(<<?REPLY_RESULT, _/binary>> = Answer) -> {answer, ?FRAME_RESULT, Answer};
answer(<<?REPLY_ANSWER, Opcode, Body/binary>>) -> {answer, Opcode, Body}.

%% Neither waiting nor answered: the port is closing or closed.
lost(Ref) ->
    receive
        {'DOWN', Ref, _, _, Reason} -> {lost, Reason}
    after 0 ->
        _ = erlang:demonitor(Ref, [flush]),
        {lost, gone}
    end.

%% The time is up.  The driver takes the request out of the queue, or ends it
%% where it runs; in that case something more will come, and we wait for it.
give_up(Port, Id, Ref, {Max, {Grace, _}}) -> give_up(Port, Id, Ref, {Max, Grace});
give_up(Port, Id, Ref, {_, Grace}) ->
    case py_port:control(Port, ?OP_CANCEL_CALL, Id) of
        <<?REPLY_DROPPED>> ->
            _ = erlang:demonitor(Ref, [flush]),
            forget_callback(Ref),
            {timeout, none};
        <<?REPLY_GONE>> ->
            answered(Ref);
        _ ->
            ended(Port, Ref, Grace + ?MARGIN)
    end.

%% One may have been on its way.
forget_callback(Ref) ->
    receive
        {py_answer, Ref, ?FRAME_CALLBACK, _} -> ok
    after 0 -> ok
    end.

%% The answer left the driver before we gave up: it is here.
answered(Ref) ->
    receive
        {py_answer, Ref, Opcode, Body} ->
            _ = erlang:demonitor(Ref, [flush]),
            {answer, Opcode, Body};
        {'DOWN', Ref, _, _, Reason} ->
            {lost, Reason}
    after ?MARGIN ->
        _ = erlang:demonitor(Ref, [flush]),
        {timeout, none}
    end.

%% An interrupted request ends by itself or with its helper.  Should neither
%% happen in time, the helper is killed from here, and then it must.
ended(Port, Ref, Wait) ->
    receive
        {py_answer, Ref, Opcode, Body} ->
            _ = erlang:demonitor(Ref, [flush]),
            {timeout, {Opcode, Body}};
        {'DOWN', Ref, _, _, _} ->
            {timeout, none}
    after Wait ->
        _ = py_port:kill(Port),
        case answered(Ref) of
            {answer, Opcode, Body} -> {timeout, {Opcode, Body}};
            _ -> {timeout, none}
        end
    end.

%%% Back-pressure

when_ready(Port, Deadline, Retry) ->
    case wait_ready(Port, Deadline) of
        ready -> Retry(Deadline);
        timeout -> {timeout, none};
        down -> down
    end.

%% The driver hands out the right to submit in the order in which callers came
%% here; who gives up hands it on, and finds no message of it later.
wait_ready(Port, Deadline) ->
    Ref = erlang:monitor(port, Port),
    case py_port:control(Port, ?OP_WAIT_READY, term_to_binary(Ref)) of
        <<?REPLY_OK>> ->
            receive
                {py_ready, Ref} ->
                    _ = erlang:demonitor(Ref, [flush]),
                    ready;
                {'DOWN', Ref, _, _, _} ->
                    down
            after left(Deadline) ->
                stop_waiting(Port, Ref),
                timeout
            end;
        _ ->
            _ = erlang:demonitor(Ref, [flush]),
            down
    end.

%% Id 0 means the wait itself.  A `py_ready' that was sent is here by now.
stop_waiting(Port, Ref) ->
    _ = py_port:control(Port, ?OP_CANCEL_CALL, <<0:64>>),
    _ = erlang:demonitor(Ref, [flush]),
    receive
        {py_ready, Ref} -> ok
    after 0 -> ok
    end.

%%% Time

%% @doc A timeout as a point in time.
-spec deadline(deadline()) -> infinity | {deadline, integer()}.
deadline(Ms) when is_integer(Ms) -> {deadline, erlang:monotonic_time(millisecond) + Ms};
deadline(Other) -> Other.

%% The earlier of both, as a point in time.
sooner(infinity, Wall) -> deadline(Wall);
sooner(Timeout, infinity) -> Timeout;
sooner(Timeout, Wall) -> min(deadline(Timeout), deadline(Wall)).

%% @doc What is left of it.
-spec left(deadline()) -> timeout().
left({deadline, At}) -> max(0, At - erlang:monotonic_time(millisecond));
left(Timeout) -> Timeout.
