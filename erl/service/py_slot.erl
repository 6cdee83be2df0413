%% SPDX-License-Identifier: Apache-2.0
%% @doc Slots of semaphores that Python holds (`erlang.Semaphore').
%%
%% Each is held by a process of its own, which is what the semaphore monitors.  It
%% stands among the waits of the helper (`py_wait') from before it has the slot
%% until it has given it back: so whatever ends a wait gives the slot back as well,
%% which is Python's release, an interrupt, a coroutine's cancellation, the death of
%% the helper.
-module(py_slot).

-export([services/0]).

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"semaphore">>, Name}, Fun} ||
        {Name, Fun} <- [{<<"new">>, fun([Max]) -> new(Max) end},
                        {<<"acquire">>, fun([S, T, Token]) -> acquire(S, T, Token) end},
                        {<<"release">>, fun([Token]) -> release(Token) end},
                        {<<"current">>, fun([S]) -> said(py_semaphore:current(given(S))) end},
                        {<<"max">>, fun([S]) -> said(py_semaphore:max_concurrent(given(S))) end},
                        {<<"set_max">>, fun([S, N]) -> set_max(S, N) end}]].

%% It goes with the process that made the request; outside of any with the context.
new(Max) ->
    case py_semaphore:new(Max, py_callback:caller()) of
        {ok, _} = Made -> Made;
        {error, _} -> invalid
    end.

%% That of the application has no term.
given(none) -> py_semaphore:of_application();
given(Term) -> Term.

said({error, What}) -> What;
said(Number) -> {ok, Number}.

set_max(Term, Max) ->
    case py_semaphore:set_max_concurrent(given(Term), Max) of
        ok -> ok;
        {error, {invalid, _, _}} -> invalid;
        {error, What} -> What
    end.

%%% Holding

acquire(Term, Timeout, Token) ->
    Limit = case Timeout of
                none -> infinity;
                _ -> Timeout
            end,
    Port = py_callback:port(),
    Left = py_wait:left(Limit),
    Asker = self(),
    {Holder, Mon} = spawn_monitor(fun() -> hold(given(Term), Left, Port, Token, Asker) end),
    receive
        {Holder, Answer} ->
            true = erlang:demonitor(Mon, [flush]),
            Answer;
        {'DOWN', Mon, process, _, _} ->
            not_started
    end.

%% What has not been granted is forgotten by the semaphore when this process ends.
hold(Semaphore, Timeout, Port, Token, Asker) ->
    AskerMon = erlang:monitor(process, Asker),
    Ref = py_semaphore:ask(Semaphore, Timeout =/= 0),
    Wait = py_wait:enter(Port, Ref, Token),
    Outcome = receive
                  {Ref, ok} -> ok;
                  {Ref, cancelled} -> cancelled;
                  {Ref, {error, {overloaded, _, _}}} -> timeout;
                  {Ref, _, _, _, _} -> helper_gone;
                  {'DOWN', Ref, process, _, _} -> not_started;
                  {'DOWN', AskerMon, process, _, _} -> asker_gone
              after patience(Timeout) -> timeout
              end,
    _ = Asker ! {self(), Outcome},
    case Outcome of
        ok -> py_wait:leave(Wait, held(Semaphore, Ref));
        _ -> py_wait:leave(Wait, Outcome)
    end.

%% Who does not queue is answered at once.
patience(0) -> infinity;
patience(Timeout) -> Timeout.

held(Semaphore, Ref) ->
    receive
        {Ref, cancelled} -> _ = py_semaphore:release(Semaphore), cancelled;
        {Ref, _, _, _, _} -> helper_gone;
        {'DOWN', Ref, process, _, _} -> not_started
    end.

%% When this returns the next in the queue has it.
release(Token) ->
    case py_waits:take(py_callback:port(), Token) of
        {ok, {Holder, Ref}} ->
            Mon = erlang:monitor(process, Holder),
            _ = Holder ! {Ref, cancelled},
            receive
                {'DOWN', Mon, process, _, _} -> ok
            end;
        _ ->
            not_held
    end.
