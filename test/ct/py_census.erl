%% SPDX-License-Identifier: Apache-2.0
%% @doc Counts all that an application could leave behind, in this VM and outside.
-module(py_census).

-export([take/0, compare/2, atoms_since/1]).

%% What is there now.  To be compared where the application stands in the same
%% state, and nobody works with it.
take() ->
    Processes = erlang:processes(),
    #{processes => length(Processes),
      monitors => lists:sum([many(P, monitors) || P <- Processes]),
      links => lists:sum([many(P, links) || P <- Processes]),
      ports => length(erlang:ports()),
      names => lists:sort(erlang:registered()),
      tables => length(ets:all()),
      persistent_terms => terms(),
      atoms => erlang:system_info(atom_count),
      descriptors => length(descriptors()),
      memfds => length([F || F <- descriptors(), is_memfd(F)]),
      mapped => mapped(),
      shm => length(filelib:wildcard("/dev/shm/*terrarium*")),
      programs => length(programs()),
      zombies => maps:get(zombies, py_ct:census())}.

%% The logger keeps a level for each module that has logged.
terms() ->
    lists:sort([Key || {Key, _} <- persistent_term:get(),
                       not is_tuple(Key) orelse element(1, Key) =/= logger_config]).

many(Pid, What) ->
    case process_info(Pid, What) of
        {What, List} -> length(List);
        undefined -> 0
    end.

descriptors() ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    [Target || N <- Names, {ok, Target} <- [file:read_link("/proc/self/fd/" ++ N)]].

is_memfd(Target) ->
    lists:prefix("/memfd:", Target).

mapped() ->
    {ok, Text} = file:read_file("/proc/self/maps"),
    length(binary:matches(Text, <<"/memfd:">>)).

%% Zygotes and helpers of this installation, whoever started them.
programs() ->
    Priv = real(code:priv_dir(terrarium)),
    [Pid || Exe <- filelib:wildcard("/proc/[0-9]*/exe"),
            {ok, Target} <- [file:read_link(Exe)],
            lists:prefix(filename:join(Priv, "terrarium_py"), Target),
            Pid <- [list_to_integer(lists:nth(3, filename:split(Exe)))],
            py_ct:alive(Pid)].

real(Path) ->
    string:trim(os:cmd("readlink -f '" ++ Path ++ "'")).

%% What is more now than it was: `#{Key => {Before, Now}}'.
compare(Before, Now) ->
    maps:filtermap(fun(Key, Was) ->
                           case maps:get(Key, Now) of
                               Is when is_integer(Is), Is =< Was -> false;
                               Was -> false;
                               Is -> {true, more(Key, Was, Is)}
                           end
                   end, Before).

more(atoms, Was, Is) -> {Was, Is, atoms(Was, Is)};
more(processes, Was, Is) -> {Was, Is, youngest(Is - Was)};
more(_, Was, Is) when is_list(Was) -> {Was -- Is, Is -- Was};
more(_, Was, Is) -> {Was, Is}.

%% What may be too many.
youngest(N) ->
    Info = [registered_name, dictionary, initial_call, current_stacktrace, monitors, messages],
    [{P, process_info(P, Info)} || P <- lists:nthtail(length(erlang:processes()) - N,
                                                     lists:sort(erlang:processes()))].

%% Those that were made since there were so many; twenty at most.
atoms_since(Was) ->
    atoms(Was, erlang:system_info(atom_count)).

atoms(Was, Is) ->
    [atom(N) || N <- lists:seq(Was, min(Was + 20, Is) - 1)].

%% The N-th atom of this VM.
atom(N) ->
    binary_to_term(<<131, 75, N:24>>).
