%% SPDX-License-Identifier: Apache-2.0
%% @doc The driver, as functions.  The only module that loads it and that calls
%% `open_port', `port_command' and `port_control'.  Requests are `py_request''s.
-module(py_port).

%% The driver itself.
-export([load/0, unload/0]).
%% Ports of zygotes.
-export([open_zygote/0, adopt/2, spawn/3, send/2, drop_fds/2, doom/2, kill_zygote/1]).
%% Ports of helpers.
-export([take_helper/4, settings/3, kill/1, violated/1, interrupt/1, fail/2, stderr/1,
         more_output/1, notice/3, reply/4, served/2, backtrace/2, pass/3, stats/1, ended/1, watch/3,
         drain/1, drain_but_objects/1, carry/1, carried/2]).
%% Ports of loads.
-export([open_load/0, least/3]).
%% Descriptors of the VM.
-export([dup_fd/1, close_fd/1]).
%% Both.
-export([close/1, control/3, command/3]).

-include("py_wire.hrl").

-define(DRIVER, "py_drv").
%%% The driver

%% @doc Load the driver on behalf of the calling process; the library leaves
%% the VM when the last process that loaded it ended or called `unload/0', and
%% the last of its ports is closed.
-spec load() -> ok | {error, term()}.
load() ->
    case erl_ddll:load(code:priv_dir(terrarium), ?DRIVER) of
        ok -> ok;
        {error, Reason} -> {error, {driver, lists:flatten(erl_ddll:format_error(Reason))}}
    end.

%% @doc Give up the calling process's claim on the driver.
-spec unload() -> ok.
unload() ->
    _ = erl_ddll:unload(?DRIVER),
    ok.

%%% Zygotes

%% @doc A port for a zygote; the caller owns it.
-spec open_zygote() -> port().
open_zygote() ->
    open_port({spawn_driver, ?DRIVER " zygote"}, [binary]).

%% @doc Use an inherited control socket.
-spec adopt(port(), non_neg_integer()) -> ok | {error, binary()}.
adopt(Port, Fd) ->
    done(control(Port, ?OP_ADOPT, <<Fd:32/native>>)).

%% @doc Start a zygote: the argument vector (the program first) and the whole
%% environment.
-spec spawn(port(), [binary()], [{binary(), binary()}]) ->
    {ok, pos_integer()} | {error, binary()}.
spawn(Port, Argv, Env) ->
    Strings = [<<(length(Argv)):32/native>>,
               [[A, 0] || A <- Argv],
               [[K, $=, V, 0] || {K, V} <- Env]],
    case control(Port, ?OP_SPAWN, Strings) of
        <<?REPLY_OK, Pid:32/native>> -> {ok, Pid};
        Other -> done(Other)
    end.

%% @doc Send a control message.
-spec send(port(), map()) -> ok | busy | {error, binary()}.
send(Port, Message) ->
    case control(Port, ?OP_SEND, term_to_binary(Message)) of
        <<?REPLY_BUSY>> -> busy;
        Other -> done(Other)
    end.

%% @doc Close the descriptors that came under this token.
-spec drop_fds(port(), non_neg_integer()) -> ok | {error, binary()}.
drop_fds(Port, Token) ->
    done(control(Port, ?OP_DROP_FDS, <<Token:32/native>>)).

%% @doc Close them, and end the helper: nobody has taken it over. (It would read
%% end-of-file and end by itself, if it is honest and not busy.)
-spec doom(port(), non_neg_integer()) -> ok | {error, binary()}.
doom(Port, Token) ->
    done(control(Port, ?OP_DOOM, <<Token:32/native>>)).

%% @doc SIGKILL to the zygote.
-spec kill_zygote(port()) -> ok | {error, binary()}.
kill_zygote(Port) ->
    done(control(Port, ?OP_KILL_ZYGOTE, <<>>)).

%%% Helpers

%% @doc A port for the helper whose descriptors came over this port of a zygote under
%% this token; its lane is used or not.  The caller owns it.  In any case nothing is held
%% under the token any more.  `gone': the zygote's port is closed, or nothing is held.
-spec take_helper(port(), non_neg_integer(), boolean(), non_neg_integer()) ->
    {ok, port()} | gone | {error, binary()}.
take_helper(Zygote, Token, Lane, Flags) ->
    UseLane = case Lane of
                  true -> 1;
                  false -> 0
              end,
    case control(Zygote, ?OP_TAKE, <<Token:32/native, Flags:32/native, UseLane:32/native>>) of
        <<?REPLY_OK>> ->
            %% It was sent before the reply.
            receive {Zygote, {helper, Port}} -> {ok, Port} end;
        <<?REPLY_GONE>> -> gone;
        <<?REPLY_DOWN>> -> gone;
        Other -> done(Other)
    end.

%% @doc Limits of this helper: its context's `grace_ms', `max_frame', `max_depth',
%% `spin_us', perhaps `deadline_ms'; and where its policy has them `term_depth',
%% `term_words', `callbacks' and `callback_depth'.
-spec settings(port(), map(), map()) -> ok | {error, binary()}.
settings(Port, #{grace_ms := Grace, max_frame := Frame, max_depth := Depth,
                 spin_us := Spin} = Options, Limits) ->
    Deadline = maps:get(deadline_ms, Options, ?WIRE_FRAME_DEADLINE_MS),
    [TermDepth, Words, Callbacks, CallbackDepth] =
        [maps:get(Key, Limits, 0) || Key <- [term_depth, term_words, callbacks, callback_depth]],
    done(control(Port, ?OP_SETTINGS,
                 <<Grace:32/native, Deadline:32/native, Frame:32/native, Depth:32/native,
                   Spin:32/native, TermDepth:32/native, Words:32/native, Callbacks:32/native,
                   CallbackDepth:32/native>>)).

%% @doc SIGKILL to the helper.
-spec kill(port()) -> ok | {error, binary()}.
kill(Port) ->
    done(control(Port, ?OP_KILL, <<>>)).

%% @doc The same, of one that has sent an identifier that it was not given.
-spec violated(port()) -> ok | {error, binary()}.
violated(Port) ->
    done(control(Port, ?OP_KILL, <<1>>)).

%% @doc Interrupt whatever runs; `idle' where nothing does.
-spec interrupt(port()) -> ok | idle | {error, binary()}.
interrupt(Port) ->
    case control(Port, ?OP_INTERRUPT, <<>>) of
        <<?REPLY_GONE>> -> idle;
        Other -> done(Other)
    end.

%% @doc Give this term to all who wait: an answer with opcode 0.
-spec fail(port(), term()) -> ok | {error, binary()}.
fail(Port, Term) ->
    done(control(Port, ?OP_FAIL, term_to_binary(Term))).

%% @doc The last bytes that the helper wrote to its stderr.
-spec stderr(port()) -> binary().
stderr(Port) ->
    case control(Port, ?OP_STDERR, <<>>) of
        <<?REPLY_OK, Tail/binary>> -> Tail;
        _ -> <<>>
    end.

%% @doc Let more captured output come.
-spec more_output(port()) -> ok | {error, binary()}.
more_output(Port) ->
    done(control(Port, ?OP_MORE_OUTPUT, <<>>)).

%% @doc Send a frame that has no answer.
-spec notice(port(), byte(), iodata()) -> ok | {error, binary()}.
notice(Port, Opcode, Body) ->
    done(control(Port, ?OP_NOTICE, [Opcode, Body])).

%% @doc Answer a callback that belongs to no request.
-spec reply(port(), binary(), byte(), binary()) -> ok | {error, binary()}.
reply(Port, Number, Opcode, Etf) ->
    done(control(Port, ?OP_REPLY, [Number, Opcode, Etf])).

%% @doc A callback that belonged to no request, of so many bytes, has ended; only
%% so many may be under way.
-spec served(port(), pos_integer()) -> ok | {error, binary()}.
served(Port, Bytes) ->
    done(control(Port, ?OP_SERVED, <<Bytes:64/native>>)).

%% @doc From now on the calling process gets what the helper sends, as
%% `{py_send, Body}'.
-spec carry(port()) -> ok | {error, binary()}.
carry(Port) ->
    done(control(Port, ?OP_COURIER, <<>>)).

%% @doc So much of it is delivered: bytes, and WIRE_SEND_OVERHEAD for each.
-spec carried(port(), pos_integer()) -> ok | {error, binary()}.
carried(Port, Bytes) ->
    done(control(Port, ?OP_SENT, <<Bytes:64/native>>)).

%% @doc Let the helper write where Python stands to its standard error, in pieces
%% that bear this token.
-spec backtrace(port(), non_neg_integer()) -> ok | {error, binary()}.
backtrace(Port, Token) ->
    done(control(Port, ?OP_BACKTRACE, <<Token:64/native>>)).

%% @doc Send a copy of this descriptor to the helper, which finds it by the token
%% (`_erlang._passed').  The descriptor stays the caller's.
-spec pass(port(), non_neg_integer(), non_neg_integer()) -> ok | busy | {error, binary()}.
pass(Port, Token, Fd) ->
    case control(Port, ?OP_PASS, <<Token:64/native, Fd:32/native>>) of
        <<?REPLY_BUSY>> -> busy;
        Other -> done(Other)
    end.

%% @doc The driver's counters of this port.
-spec stats(port()) -> {ok, term()} | {error, binary()}.
stats(Port) ->
    case control(Port, ?OP_STATS, <<>>) of
        <<?REPLY_OK, Etf/binary>> -> {ok, binary_to_term(Etf)};
        Other -> done(Other)
    end.

%% @doc How many of its requests were answered, but for those that others waited for;
%% 0 if it is closed.
-spec ended(port()) -> non_neg_integer().
ended(Port) ->
    case control(Port, ?OP_ENDED, <<>>) of
        <<?REPLY_OK, Ended:64/native>> -> Ended;
        _ -> 0
    end.

%% @doc Send `{Port, calls}' when so many requests were accepted (0: never), and
%% count those under way under this place (0: nowhere).
-spec watch(port(), non_neg_integer(), non_neg_integer()) -> ok | {error, binary()}.
watch(Port, Calls, Place) ->
    done(control(Port, ?OP_WATCH, <<Calls:64/native, Place:32/native>>)).

%% @doc Take no more requests; `{Port, drained}' comes when none is left.
-spec drain(port()) -> ok | {error, binary()}.
drain(Port) ->
    done(control(Port, ?OP_DRAIN, <<>>)).

%% @doc Take no more requests but those about objects, until `drain/1'.
-spec drain_but_objects(port()) -> ok | {error, binary()}.
drain_but_objects(Port) ->
    done(control(Port, ?OP_DRAIN, <<1>>)).

%%% Loads

%% @doc A port through which the loads of contexts are read.
-spec open_load() -> port().
open_load() ->
    open_port({spawn_driver, ?DRIVER " load"}, [binary]).

%% @doc Which of these places (`<<Place:32/native, ...>>') has the fewest
%% requests under way: its index from 0; of equals the first from index `From'
%% on.
-spec least(port(), non_neg_integer(), binary()) -> {ok, non_neg_integer()} | error.
least(Port, From, Places) ->
    case control(Port, From bsl 8 bor ?OP_LEAST, Places) of
        <<?REPLY_OK, N:32/native>> -> {ok, N};
        _ -> error
    end.

%%% Descriptors

%% @doc A copy of a descriptor, close-on-exec, which is the caller's.
-spec dup_fd(non_neg_integer()) -> {ok, pos_integer()} | {error, file:posix() | not_started}.
dup_fd(Fd) ->
    case on_fd(?OP_DUP_FD, Fd) of
        <<?REPLY_OK, Copy:32/native>> -> {ok, Copy};
        Other -> posix(done(Other))
    end.

%% @doc Close such a copy, whose owner may have it longer than the application runs.
-spec close_fd(non_neg_integer()) -> ok | {error, file:posix() | not_started}.
close_fd(Fd) ->
    case posix(done(on_fd(?OP_CLOSE_FD, Fd))) of
        {error, not_started} -> posix(done(loaded(fun() -> on_fd(?OP_CLOSE_FD, Fd) end)));
        Result -> Result
    end.

%% With a claim on the driver of the caller's own.
loaded(Fun) ->
    case load() of
        ok ->
            Reply = Fun(),
            ok = unload(),
            Reply;
        {error, _} ->
            <<?REPLY_DOWN>>
    end.

on_fd(Op, Fd) ->
    try open_port({spawn_driver, ?DRIVER " fds"}, [binary]) of
        Port ->
            Reply = control(Port, Op, <<Fd:32/native>>),
            ok = close(Port),
            true = unlink(Port),
            receive
                {'EXIT', Port, _} -> Reply % the caller traps exits
            after 0 -> Reply
            end
    catch
        error:badarg -> <<?REPLY_DOWN>>
    end.

%% The driver's own names for errors, of which there are few.
posix(ok) -> ok;
posix({error, <<"down">>}) -> {error, not_started};
posix({error, Name}) -> {error, binary_to_atom(Name)}.

%% @doc Close a port; fine if it is closed.
-spec close(port()) -> ok.
close(Port) ->
    try erlang:port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%%% The two ways into the driver

%% @doc `port_control'; a closed port answers as one whose helper is gone.
-spec control(port(), byte(), iodata()) -> binary().
control(Port, Op, Data) ->
    try
        erlang:port_control(Port, Op, Data)
    catch
        error:badarg -> <<?REPLY_DOWN>>
    end.

%% @doc Data for a port; with `nosuspend' `false' when it is busy.
-spec command(port(), iodata(), nosuspend | force) -> boolean() | down.
command(Port, Data, How) ->
    try
        erlang:port_command(Port, Data, [How])
    catch
        error:badarg -> down
    end.

done(<<?REPLY_OK, _/binary>>) -> ok;
done(<<?REPLY_DOWN, _/binary>>) -> {error, <<"down">>};
done(<<?REPLY_REFUSED, Text/binary>>) -> {error, Text};
done(<<Other, _/binary>>) -> {error, <<"reply ", (integer_to_binary(Other))/binary>>};
done(_) -> {error, <<"no reply">>}.
